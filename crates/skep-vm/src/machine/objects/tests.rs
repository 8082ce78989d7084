//! When objects go, and lists and trees that several threads change.

use std::thread;

use super::*;
use crate::{
    machine::graph::{HEAD, Linked, Shape},
    map::Field,
};

/// An object with a node of a list, one of a tree and a head.
fn layout() -> Arc<Layout> {
    let field = |offset, size, kind| Field { offset, size, kind };
    Arc::new(Layout {
        size: 88,
        fields: Fields::new(vec![
            field(8, 24, FieldKind::ListNode),
            field(32, 32, FieldKind::TreeNode),
            field(64, 16, FieldKind::ListHead),
        ]),
    })
}

fn make(objects: &Objects) -> Arc<Object> {
    let made = objects.allocate(ObjectKind::Local, layout(), 1);
    made.expect("memory")
}

fn link(object: Arc<Object>, offset: u64) -> Linked {
    let node = object.address() + offset;
    Linked { object, node }
}

#[test]
fn memory_stays_for_those_who_were_there() {
    let objects = Objects::default();
    let early = objects.enter();
    let object = make(&objects);
    let address = object.address() + 87;
    assert!(objects.region(address, early).is_some());
    assert!(objects.region(address + 1, early).is_none());
    objects.release(&object);
    let late = objects.enter();
    assert!(objects.containing(address).is_none());
    assert!(objects.region(address, early).is_some());
    assert!(objects.region(address, late).is_none());
    assert!(!object.acquire());
    objects.leave(late);
    assert!(objects.any());
    objects.leave(early);
    assert!(!objects.any());
    assert_eq!(objects.bytes.load(Relaxed), 0);
}

#[test]
fn what_an_object_holds_goes_with_it() {
    let objects = Objects::default();
    // Deeper than a stack would be.
    let mut outer = make(&objects);
    for _ in 0..50_000 {
        let next = make(&objects);
        let head = next.memory().part(64, HEAD as usize).expect("a head");
        let root = objects.graph.find_or_create(head, Shape::List);
        let pushed = root.expect("a list").push(link(outer, 8), true);
        assert!(pushed.is_ok());
        outer = next;
    }
    objects.release(&outer);
    assert!(!objects.any());
}

#[test]
fn a_node_is_in_one_place() {
    let objects = Objects::default();
    let heads = Block::new(64).expect("memory");
    let list = |at| {
        let head = heads.view(at, 16).expect("a head");
        objects.graph.find_or_create(head, Shape::List)
    };
    let (one, other) = (list(0).expect("a list"), list(16).expect("a list"));
    let object = make(&objects);
    assert!(object.acquire());
    assert!(one.push(link(Arc::clone(&object), 8), true).is_ok());
    assert!(other.push(link(Arc::clone(&object), 8), true).is_err());
    // A head of one shape is none of the other, and neither is a number that a program made up.
    let head = heads.view(0, 16).expect("a head");
    assert!(objects.graph.find(head, Shape::Tree).is_err());
    head.set_u64(0, 12345);
    assert!(objects.graph.find(head, Shape::List).is_err());
    // What a program writes over a node leads nowhere.
    object.memory().set_u64(8, 7);
    object.memory().set_u64(16, u64::MAX);
    assert!(one.pop(true).is_some());
    assert!(one.pop(true).is_none());
}

#[test]
fn threads_push_and_pop() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 2_000;
    let objects = Objects::default();
    let heads = Block::new(32).expect("memory");
    let popped: u64 = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (objects, heads) = (&objects, &heads);
                scope.spawn(move || {
                    let mut popped = 0;
                    for round in 0..ROUNDS {
                        let ticket = objects.enter();
                        let list = heads.view(0, 16).expect("a head");
                        let list = objects.graph.find_or_create(list, Shape::List);
                        let list = list.expect("a list");
                        let tree = heads.view(16, 16).expect("a root");
                        let tree = objects.graph.find_or_create(tree, Shape::Tree);
                        let tree = tree.expect("a tree");
                        let object = make(objects);
                        assert!(object.acquire());
                        assert!(
                            list.push(link(Arc::clone(&object), 8), round % 2 == 0)
                                .is_ok()
                        );
                        let node = link(object, 32);
                        assert!(tree.claim(&node));
                        let mut search = tree.search();
                        while let Some(other) = tree.next(&mut search) {
                            tree.turn(&mut search, node.node < other);
                        }
                        tree.insert(node, search);
                        if round % 2 == thread % 2
                            && let Some(out) = list.pop(true)
                        {
                            popped += 1;
                            objects.release(&out.object);
                            let node = out.object.memory().part(32, 24).expect("a node");
                            if let Some(out) = tree.remove(node) {
                                objects.release(&out.object);
                            }
                        }
                        objects.leave(ticket);
                    }
                    popped
                })
            })
            .collect();
        let counts = workers
            .into_iter()
            .map(|worker| worker.join().expect("no panic"));
        counts.sum()
    });
    let fields = Fields::new(vec![
        Field {
            offset: 0,
            size: 16,
            kind: FieldKind::ListHead,
        },
        Field {
            offset: 16,
            size: 16,
            kind: FieldKind::TreeRoot,
        },
    ]);
    assert!(popped > 0);
    objects.free_fields(heads.all(), &fields);
    assert!(!objects.any());
}
