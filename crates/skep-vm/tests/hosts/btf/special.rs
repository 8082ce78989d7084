//! Structures with locks, lists, trees and kernel pointers, which a kernel looks into as soon as it
//! sees their types. (It also takes two counts, and two locks of which one is in a structure inside,
//! but warns of itself then: not here.)

use skep_btf::{Builder, IntEncoding, NewMember, NewType, TypeId};
use skep_host::Host;
use skep_testing::Outcome;

use super::load;
use crate::support::Record;

/// The special types, and what is made of them.
struct Types {
    builder: Builder,
    int: TypeId,
    word: TypeId,
    lock: TypeId,
    resilient: TypeId,
    head: TypeId,
    node: TypeId,
    root: TypeId,
    leaf: TypeId,
    refcount: TypeId,
    timer: TypeId,
    work: TypeId,
}

impl Types {
    fn new() -> Self {
        let mut builder = Builder::new();
        let int = builder.int("int", 4, IntEncoding::SIGNED);
        let word = builder.int("unsigned long", 8, IntEncoding::default());
        let member = |builder: &mut Builder, name: &str, size: u32| {
            let (of, len) = if size == 4 {
                (int, 1)
            } else {
                (word, size / 8)
            };
            let all = builder.array(of, int, len);
            builder.structure(name, size, &[NewMember::new("opaque", all, 0)])
        };
        let mut make = |name: &str, size| member(&mut builder, name, size);
        let (lock, resilient) = (make("bpf_spin_lock", 4), make("bpf_res_spin_lock", 4));
        let (head, node) = (make("bpf_list_head", 16), make("bpf_list_node", 24));
        let (root, leaf) = (make("bpf_rb_root", 16), make("bpf_rb_node", 32));
        let (refcount, timer) = (make("bpf_refcount", 4), make("bpf_timer", 16));
        let work = make("bpf_wq", 16);
        Self {
            builder,
            int,
            word,
            lock,
            resilient,
            head,
            node,
            root,
            leaf,
            refcount,
            timer,
            work,
        }
    }

    /// A structure of these members, by name, type and offset in bytes.
    fn structure(&mut self, name: &str, size: u32, members: &[(&str, TypeId, u32)]) -> TypeId {
        let members: Vec<_> = members
            .iter()
            .map(|(name, of, offset)| NewMember::new(name, *of, offset * 8))
            .collect();
        self.builder.structure(name, size, &members)
    }

    fn tag(&mut self, target: TypeId, component: u32, name: &str) {
        self.builder.add(NewType::DeclTag {
            name,
            target,
            component: Some(component),
            attribute: false,
        });
    }

    /// A pointer with a tag to a structure of this name.
    fn pointer(&mut self, tag: &str, to: &str) -> TypeId {
        let target = self.structure(to, 4, &[("field", self.int, 0)]);
        let tagged = self.builder.add(NewType::TypeTag {
            name: tag,
            target,
            attribute: false,
        });
        self.builder.pointer(tagged)
    }

    /// An object with a node of a list and, maybe, more.
    fn object(&mut self, more: &[(&str, TypeId, u32)]) -> TypeId {
        let members = [&[("node", self.node, 0)], more].concat();
        self.structure("object", 128, &members)
    }

    /// A list's head behind a lock.
    fn list(&mut self, contains: &str) -> TypeId {
        let list = self.structure(
            "list",
            24,
            &[("lock", self.lock, 0), ("head", self.head, 8)],
        );
        self.tag(list, 1, contains);
        list
    }
}

type Case = (&'static str, fn(&mut Types));

const CASES: &[Case] = &[
    ("nothing special", |_| {}),
    ("a lock", |t| {
        t.structure("a", 8, &[("a", t.int, 0), ("lock", t.lock, 4)]);
    }),
    ("two locks", |t| {
        t.structure("a", 8, &[("a", t.lock, 0), ("b", t.lock, 4)]);
    }),
    ("two locks in a union", |t| {
        let all = [
            NewMember::new("a", t.lock, 0),
            NewMember::new("b", t.lock, 0),
        ];
        t.builder.union("a", 4, &all);
    }),
    ("two nested locks", |t| {
        let b = t.structure("b", 4, &[("lock", t.lock, 0)]);
        t.structure("a", 8, &[("a", b, 0), ("b", b, 4)]);
    }),
    ("an array of locks", |t| {
        let locks = t.builder.array(t.lock, t.int, 2);
        t.structure("a", 8, &[("locks", locks, 0)]);
    }),
    ("an array of locks beside a lock", |t| {
        let locks = t.builder.array(t.lock, t.int, 2);
        t.structure("a", 12, &[("lock", t.lock, 0), ("locks", locks, 4)]);
    }),
    ("an array of one lock beside a count", |t| {
        let locks = t.builder.array(t.lock, t.int, 1);
        t.structure("a", 8, &[("count", t.refcount, 0), ("locks", locks, 4)]);
    }),
    ("an array of locks beside a count", |t| {
        let locks = t.builder.array(t.lock, t.int, 2);
        t.structure("a", 12, &[("count", t.refcount, 0), ("locks", locks, 4)]);
    }),
    ("an array of no lock beside a count", |t| {
        let locks = t.builder.array(t.lock, t.int, 0);
        t.structure("a", 4, &[("count", t.refcount, 0), ("locks", locks, 4)]);
    }),
    ("an array of structures with locks beside a count", |t| {
        let b = t.structure("b", 4, &[("lock", t.lock, 0)]);
        let all = t.builder.array(b, t.int, 2);
        t.structure("a", 12, &[("count", t.refcount, 0), ("all", all, 4)]);
    }),
    ("a lock of another size", |t| {
        t.builder = Builder::new();
        t.int = t.builder.int("int", 4, IntEncoding::SIGNED);
        let lock = t.structure("bpf_spin_lock", 8, &[("a", t.int, 0)]);
        t.structure("a", 8, &[("lock", lock, 0)]);
    }),
    ("a second type of locks", |t| {
        let lock = t.structure("bpf_spin_lock", 4, &[("a", t.int, 0)]);
        t.structure("a", 4, &[("lock", lock, 0)]);
    }),
    ("one of each type of locks", |t| {
        let lock = t.structure("bpf_spin_lock", 4, &[("a", t.int, 0)]);
        t.structure("a", 8, &[("a", t.lock, 0), ("b", lock, 4)]);
    }),
    ("a lock and a type of its name", |t| {
        let named = t.builder.add(NewType::Typedef {
            name: "bpf_spin_lock",
            target: t.lock,
        });
        t.structure("a", 8, &[("a", t.lock, 0), ("b", named, 4)]);
    }),
    ("a lock by another name", |t| {
        let named = t.builder.add(NewType::Typedef {
            name: "lock_t",
            target: t.lock,
        });
        t.structure("a", 8, &[("a", t.lock, 0), ("b", named, 4)]);
    }),
    ("a lock between words", |t| {
        t.structure("a", 8, &[("a", t.lock, 2)]);
    }),
    ("a lock between words beside a count", |t| {
        t.structure("a", 12, &[("a", t.lock, 2), ("count", t.refcount, 8)]);
    }),
    ("a lock beside bits", |t| {
        let int = t.int;
        let bits = [
            NewMember::new("lock", t.lock, 0),
            NewMember {
                bitfield_size: 3,
                ..NewMember::new("a", int, 32)
            },
            NewMember {
                bitfield_size: 3,
                ..NewMember::new("b", int, 35)
            },
        ];
        t.builder.structure("a", 8, &bits);
    }),
    ("both locks", |t| {
        t.structure("a", 8, &[("a", t.lock, 0), ("b", t.resilient, 4)]);
    }),
    ("two resilient locks", |t| {
        t.structure("a", 8, &[("a", t.resilient, 0), ("b", t.resilient, 4)]);
    }),
    ("two resilient locks beside a count", |t| {
        t.structure(
            "a",
            12,
            &[
                ("a", t.resilient, 0),
                ("b", t.resilient, 4),
                ("c", t.refcount, 8),
            ],
        );
    }),
    ("two timers", |t| {
        t.structure("a", 32, &[("a", t.timer, 0), ("b", t.timer, 16)]);
    }),
    ("two timers and work beside a lock", |t| {
        t.structure(
            "a",
            72,
            &[
                ("a", t.timer, 0),
                ("b", t.timer, 16),
                ("c", t.work, 32),
                ("d", t.work, 48),
                ("e", t.lock, 64),
            ],
        );
    }),
    ("a count", |t| {
        t.structure("a", 8, &[("a", t.refcount, 0)]);
    }),
    ("two nodes of lists", |t| {
        t.structure("a", 48, &[("a", t.node, 0), ("b", t.node, 24)]);
    }),
    ("an array of nodes", |t| {
        let all = t.builder.array(t.node, t.int, 2);
        t.structure("a", 72, &[("a", t.node, 0), ("b", all, 24)]);
    }),
    ("two nodes at one place", |t| {
        t.structure("a", 48, &[("a", t.node, 0), ("b", t.node, 0)]);
    }),
    ("two nodes that overlap", |t| {
        t.structure("a", 48, &[("a", t.node, 0), ("b", t.node, 8)]);
    }),
    ("nodes of a list and a tree", |t| {
        t.structure("a", 64, &[("a", t.node, 0), ("b", t.leaf, 24)]);
    }),
    ("counted nodes of a list and a tree", |t| {
        t.structure(
            "a",
            64,
            &[("a", t.node, 0), ("b", t.leaf, 24), ("c", t.refcount, 56)],
        );
    }),
    ("a list", |t| {
        t.object(&[]);
        t.list("contains:object:node");
    }),
    ("a list under a resilient lock", |t| {
        t.object(&[]);
        let list = t.structure("list", 24, &[("lock", t.resilient, 0), ("head", t.head, 8)]);
        t.tag(list, 1, "contains:object:node");
    }),
    ("a list without a lock", |t| {
        t.object(&[]);
        let list = t.structure("list", 16, &[("head", t.head, 0)]);
        t.tag(list, 0, "contains:object:node");
    }),
    ("a list without a tag", |t| {
        t.object(&[]);
        t.structure("list", 24, &[("lock", t.lock, 0), ("head", t.head, 8)]);
    }),
    ("a list with two tags", |t| {
        t.object(&[]);
        let list = t.list("contains:object:node");
        t.tag(list, 1, "contains:object:node");
    }),
    ("a list with another tag, too", |t| {
        t.object(&[]);
        let list = t.list("contains:object:node");
        t.tag(list, 1, "remark");
    }),
    ("a list of nothing known", |t| {
        t.list("contains:object:node");
    }),
    ("a list by no such member", |t| {
        t.object(&[]);
        t.list("contains:object:other");
    }),
    ("a list by no node", |t| {
        t.object(&[("other", t.int, 24)]);
        t.list("contains:object:other");
    }),
    ("a list by a node of trees", |t| {
        t.object(&[("leaf", t.leaf, 24), ("count", t.refcount, 56)]);
        t.list("contains:object:leaf");
    }),
    ("a list by two members of a name", |t| {
        t.object(&[("node", t.node, 24)]);
        t.list("contains:object:node");
    }),
    ("a list by a node between words", |t| {
        t.object(&[("other", t.node, 28)]);
        t.list("contains:object:other");
    }),
    ("a list by a node by another name", |t| {
        let named = t.builder.add(NewType::Typedef {
            name: "node_t",
            target: t.node,
        });
        t.object(&[("other", named, 24)]);
        t.list("contains:object:other");
    }),
    ("a list by a second type of nodes", |t| {
        let node = t.structure("bpf_list_node", 24, &[("a", t.word, 0)]);
        t.structure("object", 24, &[("node", node, 0)]);
        t.list("contains:object:node");
    }),
    ("a list whose tag has no node", |t| {
        t.object(&[]);
        t.list("contains:object");
    }),
    ("a list whose tag ends early", |t| {
        t.object(&[]);
        t.list("contains:object:");
    }),
    ("a list whose tag says nothing", |t| {
        t.object(&[]);
        t.list("contains:");
    }),
    ("a list whose tag says more", |t| {
        t.object(&[]);
        t.list("contains:object:node:more");
    }),
    ("a list between words", |t| {
        let list = t.structure("list", 24, &[("lock", t.lock, 0), ("head", t.head, 4)]);
        t.tag(list, 1, "nothing");
    }),
    ("an array of lists", |t| {
        t.object(&[]);
        let heads = t.builder.array(t.head, t.int, 10);
        let list = t.structure("list", 168, &[("lock", t.lock, 0), ("heads", heads, 8)]);
        t.tag(list, 1, "contains:object:node");
    }),
    ("an array of too many lists", |t| {
        t.object(&[]);
        let heads = t.builder.array(t.head, t.int, 11);
        let list = t.structure("list", 184, &[("lock", t.lock, 0), ("heads", heads, 8)]);
        t.tag(list, 1, "contains:object:node");
    }),
    ("a list in a structure", |t| {
        t.object(&[]);
        let inner = t.structure("inner", 16, &[("head", t.head, 0)]);
        t.tag(inner, 0, "contains:object:node");
        t.structure("list", 24, &[("lock", t.lock, 0), ("inner", inner, 8)]);
    }),
    ("a list between words in a structure at a word", |t| {
        let inner = t.structure("inner", 20, &[("head", t.head, 4)]);
        t.structure("list", 28, &[("lock", t.lock, 0), ("inner", inner, 4)]);
    }),
    ("a list of lists", |t| {
        t.object(&[]);
        let middle = t.structure(
            "middle",
            48,
            &[
                ("lock", t.lock, 0),
                ("head", t.head, 8),
                ("node", t.node, 24),
            ],
        );
        t.tag(middle, 1, "contains:object:node");
        t.list("contains:middle:node");
    }),
    ("a list of lists of lists", |t| {
        t.object(&[]);
        for (name, tag) in [("b", "contains:object:node"), ("a", "contains:b:node")] {
            let middle = t.structure(
                name,
                48,
                &[
                    ("lock", t.lock, 0),
                    ("head", t.head, 8),
                    ("node", t.node, 24),
                ],
            );
            t.tag(middle, 1, tag);
        }
        t.list("contains:a:node");
    }),
    ("a list of itself", |t| {
        let a = t.structure(
            "a",
            48,
            &[
                ("lock", t.lock, 0),
                ("head", t.head, 8),
                ("node", t.node, 24),
            ],
        );
        t.tag(a, 1, "contains:a:node");
    }),
    ("a tree", |t| {
        t.structure("object", 32, &[("node", t.leaf, 0)]);
        let tree = t.structure("tree", 24, &[("lock", t.lock, 0), ("root", t.root, 8)]);
        t.tag(tree, 1, "contains:object:node");
    }),
    ("a tree by a node of lists", |t| {
        t.object(&[]);
        let tree = t.structure("tree", 24, &[("lock", t.lock, 0), ("root", t.root, 8)]);
        t.tag(tree, 1, "contains:object:node");
    }),
    ("ten nodes", |t| nodes(t, 10)),
    ("eleven nodes", |t| nodes(t, 11)),
    ("twelve nodes", |t| nodes(t, 12)),
    ("a pointer to an own object", |t| {
        pointed(t, "kptr", "mine", 1)
    }),
    ("an untrusted pointer to an own object", |t| {
        pointed(t, "kptr_untrusted", "mine", 1)
    }),
    ("a pointer of each CPU to an own object", |t| {
        pointed(t, "percpu_kptr", "mine", 1)
    }),
    ("a user's pointer", |t| pointed(t, "uptr", "mine", 1)),
    ("a pointer with another tag", |t| {
        pointed(t, "other", "mine", 1)
    }),
    ("eleven pointers", |t| {
        pointed(t, "kptr_untrusted", "mine", 11)
    }),
    ("twelve pointers", |t| {
        pointed(t, "kptr_untrusted", "mine", 12)
    }),
    ("a pointer to a task", |t| {
        pointed(t, "kptr", "task_struct", 1)
    }),
    ("pointer to a file", |t| pointed(t, "kptr", "file", 1)),
    ("an untrusted pointer to a file", |t| {
        pointed(t, "kptr_untrusted", "file", 1)
    }),
    ("a user's pointer beside a lock", |t| {
        beside(t, "uptr", "mine")
    }),
    ("a pointer with another tag beside a lock", |t| {
        beside(t, "other", "mine")
    }),
    ("a pointer beside a lock", |t| beside(t, "kptr", "mine")),
    ("a pointer to an int beside a lock", |t| {
        let tagged = t.builder.add(NewType::TypeTag {
            name: "kptr",
            target: t.int,
            attribute: false,
        });
        let pointer = t.builder.pointer(tagged);
        t.structure("a", 16, &[("lock", t.lock, 0), ("a", pointer, 8)]);
    }),
    ("a pointer to an int", |t| {
        let tagged = t.builder.add(NewType::TypeTag {
            name: "kptr",
            target: t.int,
            attribute: false,
        });
        let pointer = t.builder.pointer(tagged);
        t.structure("a", 8, &[("a", pointer, 0)]);
    }),
    ("a pointer with two tags beside a lock", |t| {
        let target = t.structure("mine", 4, &[("field", t.int, 0)]);
        let inner = t.builder.add(NewType::TypeTag {
            name: "kptr",
            target,
            attribute: false,
        });
        let tagged = t.builder.add(NewType::TypeTag {
            name: "kptr",
            target: inner,
            attribute: false,
        });
        let pointer = t.builder.pointer(tagged);
        t.structure("a", 16, &[("lock", t.lock, 0), ("a", pointer, 8)]);
    }),
    ("a volatile pointer", |t| {
        let pointer = t.pointer("kptr", "mine");
        let volatile = t.builder.add(NewType::Volatile { target: pointer });
        t.structure("a", 8, &[("a", volatile, 0)]);
    }),
    ("a const pointer beside a lock", |t| {
        let pointer = t.pointer("other", "mine");
        let constant = t.builder.add(NewType::Const { target: pointer });
        t.structure("a", 16, &[("lock", t.lock, 0), ("a", constant, 8)]);
    }),
    ("structures in 30 others beside a lock", |t| nested(t, 30)),
    ("structures in 31 others beside a lock", |t| nested(t, 31)),
    ("structures in 32 others beside a lock", |t| nested(t, 32)),
];

fn nodes(t: &mut Types, count: u32) {
    let names: Vec<String> = (0..count).map(|number| format!("n{number}")).collect();
    let members: Vec<_> = (0..)
        .zip(&names)
        .map(|(at, name)| (name.as_str(), t.node, at * 24))
        .collect();
    t.structure("a", count * 24, &members);
}

fn pointed(t: &mut Types, tag: &str, to: &str, count: u32) {
    let pointer = t.pointer(tag, to);
    let names: Vec<String> = (0..count).map(|number| format!("p{number}")).collect();
    let members: Vec<_> = (0..)
        .zip(&names)
        .map(|(at, name)| (name.as_str(), pointer, at * 8))
        .collect();
    t.structure("a", count * 8, &members);
}

fn beside(t: &mut Types, tag: &str, to: &str) {
    let pointer = t.pointer(tag, to);
    t.structure("a", 16, &[("lock", t.lock, 0), ("a", pointer, 8)]);
}

fn nested(t: &mut Types, depth: u32) {
    let mut inner = t.int;
    for _ in 0..depth {
        inner = t.structure("inner", 4, &[("a", inner, 0)]);
    }
    t.structure("a", 8, &[("lock", t.lock, 0), ("inner", inner, 4)]);
}

pub(super) fn fields(host: &dyn Host, record: &mut Record) -> Outcome {
    for (label, make) in CASES {
        let mut types = Types::new();
        make(&mut types);
        record.done(format!("btf {label}"), &load(host, &types.builder.build()?));
    }
    Ok(())
}
