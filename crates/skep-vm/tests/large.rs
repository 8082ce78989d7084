//! Large programs: compiled, or run by the interpreter where the compiler refuses them.

use skep_abi::ProgramType;
use skep_host::{Host as _, LogLevel, ProgramLoad, TestRun};
use skep_isa::{Endian, RawInsn, assemble, encode_slots};
use skep_vm::{Config, Vm};

/// A program of about `count` instructions with many blocks, whose value is `count / 4` in the
/// low bits.
fn large(count: usize) -> Vec<RawInsn> {
    let mut text = String::from("r0 = 0\n r6 = r1\n");
    for block in 0..count / 4 {
        text += &format!(
            "r0 += 1\n *(u64 *)(r10 - {}) = r0\n if r6 == {block} goto l{block}\n r7 ^= r0\nl{block}:\n",
            8 + block % 64 * 8
        );
    }
    text += "exit";
    assemble(&text).expect("a program")
}

#[test]
fn large_programs_run() {
    let vm = Vm::with(Config::checked()).expect("memory");
    for count in [10_000, 100_000] {
        let code = encode_slots(&large(count), Endian::NATIVE);
        let mut request = ProgramLoad::new(ProgramType::SocketFilter, "large", &code);
        request.log_level = LogLevel::Verbose;
        let loaded = vm.prog_load(&request).expect("a program that loads");
        let info = vm.prog_info(&loaded.fd).expect("its info");

        assert_eq!(info.jited_size == 0, count == 100_000);
        assert_eq!(
            info.jited_size == 0,
            loaded.log.contains("not compiled"),
            "{}",
            loaded.log
        );
        let mut run = TestRun {
            data_in: &[0; 64],
            ..TestRun::default()
        };
        let outcome = vm.prog_test_run(&loaded.fd, &mut run).expect("a run");
        assert_eq!(outcome.return_value as usize, count / 4);
    }
}
