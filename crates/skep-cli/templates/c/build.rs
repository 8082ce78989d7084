//! Compiles the kernel side, `bpf/{{name}}.bpf.c`, for `main.rs` to carry.

fn main() -> std::process::ExitCode {
    skep_build::Build::new("bpf/{{name}}.bpf.c").build_script("{{module}}.bpf.o")
}
