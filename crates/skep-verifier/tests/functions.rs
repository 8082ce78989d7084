//! Functions, exits and admission: what programs of several functions may do, what may be
//! returned by whom, and what is let in at all.

use std::{borrow::Cow, sync::Arc};

use skep_abi::{AttachType, KernelVersion, ProgLoadFlags, ProgramType};
use skep_btf::{Btf, Builder, FunctionLinkage, IntEncoding, NewType, TypeId};
use skep_isa::{InsnIndex, assemble};
use skep_object::Target;
use skep_verifier::{Function, Options, Program, Rule, verify};

/// The rule that a program breaks on 6.18, if it breaks one.
fn verdict(program: &Program<'_>, options: &Options) -> Option<Rule> {
    let target = Target::new(KernelVersion::new(6, 18));
    verify(program, &target, options)
        .rejection
        .map(|why| why.rule)
}

fn program(program_type: ProgramType, text: &str) -> Program<'static> {
    Program {
        instructions: Cow::Owned(assemble(text).expect("assembles")),
        ..Program::new(program_type, "test", &[])
    }
}

#[track_caller]
fn check(program_type: ProgramType, text: &str, expected: Option<Rule>) {
    let found = verdict(&program(program_type, text), &Options::default());
    assert_eq!(found, expected, "{text}");
}

/// A program with a global function behind its label, of the type that `describe` gives: its
/// prototype and the tags of its first parameter.
fn with_global(
    text: &str,
    start: u32,
    describe: impl FnOnce(&mut Builder) -> (TypeId, &'static [&'static str]),
) -> Program<'static> {
    let mut types = Builder::new();
    let int = types.int("int", 4, IntEncoding::SIGNED);
    let context = types.structure("__sk_buff", 4, &[]);
    let context = types.pointer(context);
    let main = types.prototype(int, &[("skb", context)]);
    let main = types.function("test", main, FunctionLinkage::Global);
    let (prototype, tags) = describe(&mut types);
    let global = types.function("global", prototype, FunctionLinkage::Global);
    for tag in tags {
        types.add(NewType::DeclTag {
            name: tag,
            target: global,
            component: Some(0),
            attribute: false,
        });
    }
    let bytes = types.build().expect("types");
    let mut program = program(ProgramType::SchedCls, text);
    program.btf = Some(Arc::new(Btf::parse(bytes).expect("BTF")));
    program.functions = vec![
        Function {
            name: "test".into(),
            start: InsnIndex(0),
            type_id: Some(main),
        },
        Function {
            name: "global".into(),
            start: InsnIndex(start),
            type_id: Some(global),
        },
    ];
    program
}

#[track_caller]
fn check_global(
    text: &str,
    start: u32,
    describe: impl FnOnce(&mut Builder) -> (TypeId, &'static [&'static str]),
    expected: Option<Rule>,
) {
    let program = with_global(text, start, describe);
    assert_eq!(verdict(&program, &Options::default()), expected, "{text}");
}

fn int_of_memory(types: &mut Builder) -> TypeId {
    let int = types.int("int", 4, IntEncoding::SIGNED);
    let memory = types.pointer(int);
    types.prototype(int, &[("memory", memory)])
}

#[test]
fn functions_keep_what_callers_keep() {
    check(
        ProgramType::SocketFilter,
        "r6 = r1\n call f\n r1 = r6\n r0 = *(u32 *)(r1 +0)\n exit\nf:\n r6 = 1\n r0 = 0\n exit",
        None,
    );
    check(
        ProgramType::SocketFilter,
        "r6 = r1\n call f\n r0 = r1\n exit\nf:\n r0 = 0\n exit",
        Some(Rule::UninitialisedRegister),
    );
    check(
        ProgramType::SocketFilter,
        "r6 = r1\n call f\n exit\nf:\n r0 = r6\n exit",
        Some(Rule::UninitialisedRegister),
    );
}

#[test]
fn frames_end_with_their_stack() {
    check(
        ProgramType::SocketFilter,
        "call f\n r0 = 0\n exit\nf:\n r0 = r10\n exit",
        Some(Rule::StackOutOfBounds),
    );
    check(
        ProgramType::SocketFilter,
        "r1 = r10\n r1 += -8\n call f\n r0 = *(u64 *)(r10 -8)\n exit\n\
         f:\n *(u64 *)(r1 +0) = 7\n r0 = 0\n exit",
        None,
    );
}

#[test]
fn results_are_what_the_hook_knows() {
    let mut egress = program(ProgramType::CgroupSkb, "r0 = 3\n exit");
    egress.attach_type = Some(AttachType::CgroupInetEgress);
    assert_eq!(verdict(&egress, &Options::default()), None);
    egress.attach_type = Some(AttachType::CgroupInetIngress);
    let found = verdict(&egress, &Options::default());
    assert_eq!(found, Some(Rule::ReturnValue));
    check(ProgramType::Xdp, "r0 = 77\n exit", None);
    check(ProgramType::Xdp, "exit", Some(Rule::UninitialisedRegister));
    let sock = "r0 = *(u32 *)(r1 +4)\n r0 &= 1\n exit";
    check(ProgramType::CgroupSock, sock, None);
    let sock = "r0 = *(u32 *)(r1 +4)\n exit";
    check(ProgramType::CgroupSock, sock, Some(Rule::ReturnValue));
}

#[test]
fn addresses_are_returned_only_to_those_who_may_see_them() {
    let leak = program(ProgramType::SocketFilter, "r0 = r1\n exit");
    assert_eq!(verdict(&leak, &Options::default()), None);
    let found = verdict(&leak, &Options::unprivileged());
    assert_eq!(found, Some(Rule::PointerLeak));
}

#[test]
fn global_functions_take_what_their_types_say() {
    let reads = "r1 = r10\n r1 += -4\n *(u32 *)(r10 -4) = 1\n call global\n r0 = 0\n exit\n\
                 global:\n r0 = *(u32 *)(r1 +0)\n exit";
    check_global(
        reads,
        6,
        |types| (int_of_memory(types), &["arg:nonnull"]),
        None,
    );
    let maybe_null = Some(Rule::PointerOrNull);
    check_global(reads, 6, |types| (int_of_memory(types), &[]), maybe_null);
    let beyond = reads.replace("*(u32 *)(r1 +0)", "*(u64 *)(r1 +0)");
    let out = Some(Rule::MemoryOutOfBounds);
    let nonnull: &[&str] = &["arg:nonnull"];
    check_global(&beyond, 6, |types| (int_of_memory(types), nonnull), out);
    let null = reads.replace("r1 = r10\n r1 += -4", "r1 = 0\n r2 = 0");
    let wrong = Some(Rule::ArgumentType);
    check_global(&null, 6, |types| (int_of_memory(types), nonnull), wrong);
    let strange: &[&str] = &["arg:strange"];
    let unknown = Some(Rule::GlobalFunction);
    check_global(reads, 6, |types| (int_of_memory(types), strange), unknown);
}

#[test]
fn global_functions_return_numbers() {
    let calls = "call global\n r0 = 0\n exit\nglobal:\n r0 = 0\n exit";
    let void = |types: &mut Builder| (types.prototype(TypeId::VOID, &[]), &[] as &[&str]);
    check_global(calls, 3, void, Some(Rule::GlobalFunction));
    let int = |types: &mut Builder| {
        let int = types.int("int", 4, IntEncoding::SIGNED);
        (types.prototype(int, &[]), &[] as &[&str])
    };
    check_global(calls, 3, int, None);
    // Its caller knows nothing of the number.
    let trusts = "r6 = r10\n r6 += -8\n *(u64 *)(r10 -8) = 0\n call global\n r6 += r0\n \
                  r0 = *(u8 *)(r6 +0)\n exit\nglobal:\n r0 = 0\n exit";
    let program = with_global(trusts, 7, int);
    assert!(verdict(&program, &Options::default()).is_some());
    let followed = trusts.replace("global", "static");
    check(ProgramType::SchedCls, &followed, None);
}

#[test]
fn global_functions_are_verified_apart() {
    // What its only caller passes makes no difference: it must do for all numbers.
    let text = "r1 = 1\n call global\n r0 = 0\n exit\n\
                global:\n r2 = r10\n r2 += -8\n *(u64 *)(r10 -8) = 0\n r2 += r1\n \
                r0 = *(u8 *)(r2 +0)\n exit";
    let describe = |types: &mut Builder| {
        let int = types.int("int", 4, IntEncoding::SIGNED);
        (types.prototype(int, &[("offset", int)]), &[] as &[&str])
    };
    let program = with_global(text, 4, describe);
    assert!(verdict(&program, &Options::default()).is_some());
    let followed = text.replace("global", "static");
    check(ProgramType::SchedCls, &followed, None);
}

/// Catching exceptions by a function that the program calls too. Verdicts are those of 6.18.
#[test]
fn only_the_kernel_calls_an_exception_callback() {
    let catching = |text: &str, start: u32| {
        let mut program = with_catcher(text, start);
        let caught = verdict(&program, &Options::default());
        // Without the tag, the same function is like any other.
        for function in &mut program.functions {
            function.type_id = None;
        }
        program.btf = None;
        assert_eq!(verdict(&program, &Options::default()), None, "{text}");
        caught
    };
    let catcher = "global:\n r0 = r1\n r0 &= 1\n exit";
    let misuse = Some(Rule::ExceptionMisuse);
    let called = format!("r1 = 1\n call global\n r0 = 0\n exit\n{catcher}");
    assert_eq!(catching(&called, 4), misuse);
    let by_another =
        format!("call f\n r0 = 0\n exit\nf:\n r1 = 1\n call global\n r0 = 0\n exit\n{catcher}");
    let mut program = with_catcher(&by_another, 7);
    let f = Function {
        name: "f".into(),
        start: InsnIndex(3),
        type_id: program.functions[0].type_id,
    };
    program.functions.insert(1, f);
    let found = verdict(&program, &Options::default());
    assert_eq!(found, misuse);
    // Where no path leads.
    let dead = format!(
        "r0 = 0\n if r0 == 0 goto end\n r1 = 1\n call global\nend:\n r0 = 0\n exit\n{catcher}"
    );
    assert_eq!(catching(&dead, 6), misuse);
    let uncalled = format!("r0 = 0\n exit\n{catcher}");
    let found = verdict(&with_catcher(&uncalled, 2), &Options::default());
    assert_eq!(found, None);
}

/// A program whose function `global` catches its exceptions.
fn with_catcher(text: &str, start: u32) -> Program<'static> {
    let mut types = Builder::new();
    let long = types.int("unsigned long", 8, IntEncoding::UNSIGNED);
    let int = types.int("int", 4, IntEncoding::SIGNED);
    let mut function = |name: &str, parameters: &[(&str, TypeId)]| {
        let prototype = types.prototype(int, parameters);
        types.function(name, prototype, FunctionLinkage::Global)
    };
    let global = function("global", &[("cookie", long)]);
    let main = function("test", &[]);
    types.add(NewType::DeclTag {
        name: "exception_callback:global",
        target: main,
        component: None,
        attribute: false,
    });
    let bytes = types.build().expect("types");
    let mut program = program(ProgramType::SchedCls, text);
    program.btf = Some(Arc::new(Btf::parse(bytes).expect("BTF")));
    program.functions = [("test", 0, main), ("global", start, global)]
        .map(|(name, start, type_id)| Function {
            name: name.into(),
            start: InsnIndex(start),
            type_id: Some(type_id),
        })
        .to_vec();
    program
}

#[test]
fn types_and_flags_are_let_in_by_version_and_capability() {
    let old = Target::new(KernelVersion::new(5, 10));
    let netfilter = program(ProgramType::Netfilter, "r0 = 1\n exit");
    let found = verify(&netfilter, &old, &Options::default());
    assert_eq!(found.rejection.unwrap().rule, Rule::TypeNotHere);
    let xdp = program(ProgramType::Xdp, "r0 = 2\n exit");
    let found = verdict(&xdp, &Options::unprivileged());
    assert_eq!(found, Some(Rule::MissingCapability));
    let mut sleepable = program(ProgramType::Xdp, "r0 = 2\n exit");
    sleepable.flags = ProgLoadFlags::SLEEPABLE;
    let found = verdict(&sleepable, &Options::default());
    assert_eq!(found, Some(Rule::ProgramFlags));
    let syscall = "r0 = 0\n exit";
    check(ProgramType::Syscall, syscall, Some(Rule::ProgramFlags));
    let mut lookup = program(ProgramType::SkLookup, "r0 = 1\n exit");
    let found = verdict(&lookup, &Options::default());
    assert_eq!(found, Some(Rule::AttachTarget));
    lookup.attach_type = Some(AttachType::SkLookup);
    assert_eq!(verdict(&lookup, &Options::default()), None);
    check(
        ProgramType::Tracing,
        "r0 = 0\n exit",
        Some(Rule::AttachTarget),
    );
}
