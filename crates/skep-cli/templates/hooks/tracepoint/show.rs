const HEADS: &str = "    PID  COMM              RET  PATH";

fn show(open: &Open) {
    let (comm, path) = (skep::text(&open.comm), skep::text(&open.path));
    println!("{:>7}  {comm:<16} {:>4}  {path}", open.pid, open.ret);
}
