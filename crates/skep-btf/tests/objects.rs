//! BTF that clang makes of C: read, edited, printed as C that clang makes the same BTF of.

mod common;

use common::{btf_section, compile, installed};
use skep_btf::value::{Layout, Value};
use skep_btf::{Btf, Builder, FunctionLinkage, Kind, KindTag, RawDump, VariableLinkage, c_header};
use std::process::Command;

const SOURCE: &str = r#"
typedef unsigned char u8;
typedef int (*callback_t)(struct node *, const char *, ...);
enum small { ONE = 1, TWO } ;
enum signed_one { MINUS = -1, PLUS = 1 };
enum big { HUGE_ONE = 0x123456789abcULL };
struct node {
    struct node *next;
    callback_t call;
    union { int number; float real; };
    struct { short a, b; } inner[2];
    unsigned int flags : 3, : 5, kind : 9;
    unsigned long long wide : 40;
    enum small small;
    enum signed_one sign;
    enum big big;
    char name[16];
    u8 bytes[4];
    const volatile void *const *where;
    int (*table[3])(void);
    int (*matrix)[4][5];
} __attribute__((aligned(64)));
struct packed { u8 tag; unsigned long long value; unsigned short tail; } __attribute__((packed));
struct flexible { int len; struct packed items[]; };
struct holder { u8 c; struct packed p; struct node n; _Bool yes; double d; __int128 i; };
struct node a_node;
struct holder a_holder;
struct packed *a_pointer;
struct flexible *b_pointer;
const volatile int limit = 5;
static int hidden = 3;
__attribute__((noinline)) static int helper(struct holder *holder) { return holder->p.tag + hidden; }
__attribute__((section("xdp"))) int program(struct holder *ctx)
{
    hidden++;
    return helper(ctx) + limit + a_node.flags;
}
"#;

/// The BTF of the source by each clang there is, for both byte orders.
fn for_each_btf(mut check: impl FnMut(&str, &str, Btf)) {
    // The forward declaration is what the typedef needs to mean the file's `struct node`.
    let source = format!("struct node;\n{SOURCE}");
    for clang in installed(&["clang-14", "clang-19", "clang"]) {
        for target in ["bpfel", "bpfeb"] {
            let dir = tempfile::tempdir().unwrap();
            let object = compile(&clang, &source, &["-target", target], dir.path());
            let object = std::fs::read(object).unwrap();
            check(
                &clang,
                target,
                Btf::parse(btf_section(&object).unwrap().to_vec()).unwrap(),
            );
        }
    }
}

#[test]
fn what_clang_writes_is_read() {
    for_each_btf(|_, _, btf| {
        let id = btf.find("node", KindTag::Struct).unwrap();
        let Kind::Struct(node) = btf.type_by_id(id).unwrap().kind() else {
            unreachable!()
        };
        assert_eq!(node.size % 64, 0);
        let member = |name| node.members().find(|member| member.name() == name).unwrap();
        assert_eq!(member("flags").bitfield_size, 3);
        assert_eq!(member("kind").bit_offset - member("flags").bit_offset, 8);
        assert_eq!(
            btf.type_name(member("table").type_id).unwrap(),
            "int (*[3])(void)"
        );
        assert_eq!(
            btf.type_name(member("matrix").type_id).unwrap(),
            "int (*)[4][5]"
        );
        let place = btf.type_name(member("where").type_id).unwrap();
        assert_eq!(
            place,
            "const volatile void * const *".replace("const volatile", "volatile const")
        );
        let program = btf.find("program", KindTag::Function).unwrap();
        assert_eq!(
            btf.declaration(program).unwrap(),
            "int program(struct holder *ctx);"
        );
        let limit = btf.find("limit", KindTag::Variable).unwrap();
        assert_eq!(btf.declaration(limit).unwrap(), "volatile const int limit;");
    });
}

/// The header, compiled again with uses of its types, gives structures of the same declarations.
#[test]
fn the_header_of_the_header_is_the_same() {
    for_each_btf(|clang, target, btf| {
        let mut header = String::new();
        c_header(&btf, None, &mut header).unwrap();
        let names = ["node", "packed", "flexible", "holder"];
        let uses: String = names
            .iter()
            .map(|name| format!("struct {name} *use_{name};\n"))
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let source = format!("{header}\n{uses}");
        let object = compile(clang, &source, &["-target", target], dir.path());
        let object = std::fs::read(object).unwrap();
        let again = Btf::parse(btf_section(&object).unwrap().to_vec()).unwrap();
        for name in names {
            let one = btf.find(name, KindTag::Struct).unwrap();
            let two = again.find(name, KindTag::Struct).unwrap();
            assert_eq!(btf.size_of(one), again.size_of(two), "{name}");
            assert_eq!(
                btf.declaration(one),
                again.declaration(two),
                "{clang} {target}"
            );
        }
    });
}

#[test]
fn a_loader_can_fix_up_sections_and_linkage() {
    for_each_btf(|_, _, btf| {
        let mut builder = Builder::from_btf(&btf).unwrap();
        assert_eq!(builder.build().unwrap(), btf.bytes());
        let section = btf.find(".bss", KindTag::DataSection).unwrap();
        let mut next = 64;
        builder
            .set_data_section(section, 4096, |entry| {
                next -= 8;
                entry.offset = next;
            })
            .unwrap();
        builder.sort_data_section(section).unwrap();
        let helper = btf.find("helper", KindTag::Function).unwrap();
        builder
            .set_function_linkage(helper, FunctionLinkage::Global)
            .unwrap();
        let limit = btf.find("limit", KindTag::Variable).unwrap();
        builder
            .set_variable_linkage(limit, VariableLinkage::Static)
            .unwrap();
        builder.rename(limit, "renamed").unwrap();
        assert!(
            builder
                .set_function_linkage(limit, FunctionLinkage::Global)
                .is_err()
        );

        let edited = Btf::parse(builder.build().unwrap()).unwrap();
        let Kind::DataSection(found) = edited.type_by_id(section).unwrap().kind() else {
            panic!()
        };
        assert_eq!(found.size, 4096);
        assert!(found.entries().map(|entry| entry.offset).is_sorted());
        let Kind::Function(found) = edited.type_by_id(helper).unwrap().kind() else {
            panic!()
        };
        assert_eq!(found.linkage, FunctionLinkage::Global);
        assert_eq!(edited.find("renamed", KindTag::Variable), Some(limit));
        assert_eq!(edited.find("limit", KindTag::Variable), None);
    });
}

#[test]
fn values_of_a_clang_structure() {
    for_each_btf(|_, target, btf| {
        let id = btf.find("packed", KindTag::Struct).unwrap();
        let layout = Layout::new(&btf, id).unwrap();
        let (mut bytes, value) = (vec![7_u8], 0x0102_0304_0506_0708_u64);
        if target == "bpfel" {
            bytes.extend(value.to_le_bytes());
            bytes.extend(9_u16.to_le_bytes());
        } else {
            bytes.extend(value.to_be_bytes());
            bytes.extend(9_u16.to_be_bytes());
        }
        let text = Value::new(&layout, &bytes).unwrap().to_string();
        assert_eq!(text, format!("{{ .tag = 7, .value = {value}, .tail = 9 }}"));
        // The large one has all that a value can have; zeros are valid for each.
        let holder = Layout::new(&btf, btf.find("holder", KindTag::Struct).unwrap()).unwrap();
        let zeros = vec![0; holder.size() as usize];
        let text = Value::new(&holder, &zeros).unwrap().to_string();
        assert!(
            text.contains(".sign = 0, .big = 0, .name = \"\", .bytes = [ 0, 0, 0, 0 ]"),
            "{text}"
        );
    });
}

#[test]
fn raw_dump_is_that_of_bpftool() {
    if installed(&["bpftool"]).is_empty() {
        return;
    }
    for_each_btf(|_, target, btf| {
        // bpftool reads only its own byte order.
        if target == "bpfel" {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), btf.bytes()).unwrap();
            let args = ["btf", "dump", "file"];
            let format = ["format", "raw"];
            let run = Command::new("bpftool")
                .args(args)
                .arg(file.path())
                .args(format)
                .output()
                .unwrap();
            assert_eq!(
                RawDump(&btf).to_string(),
                String::from_utf8(run.stdout).unwrap()
            );
        }
    });
}
