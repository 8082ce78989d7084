const HEADS: &str = "    PID  COMM              VARIABLE";

fn show(event: &Lookup) {
    let (comm, variable) = (skep::text(&event.comm), skep::text(&event.variable));
    println!("{:>7}  {comm:<16}  {variable}", event.pid);
}
