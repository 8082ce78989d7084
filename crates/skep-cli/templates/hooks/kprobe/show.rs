const HEADS: &str = "    PID  COMM              PATH";

fn show(event: &Open) {
    let (comm, path) = (skep::text(&event.comm), skep::text(&event.path));
    println!("{:>7}  {comm:<16}  {path}", event.pid);
}
