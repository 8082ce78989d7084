//! Compiles the kernel side, `{{name}}-ebpf`, for `main.rs` to carry.

fn main() -> std::process::ExitCode {
    skep_build::Build::new("../{{name}}-ebpf").build_script("{{module}}.bpf.o")
}
