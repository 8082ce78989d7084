//! Kernel functions on lists and red-black trees of objects.

use std::sync::Arc;

use skep_host::Errno;

use super::Table;
use crate::{
    FaultKind,
    helper::{Arguments, Outcome, errno, shim},
    machine::{
        graph::{HEAD, Linked, NODE, Root, Shape},
        objects::Object,
        tree::Side,
    },
    map::FieldKind,
    run::Run,
};

pub(super) static TABLE: Table = &[
    ("bpf_list_push_front", shim!(list_push_front)),
    ("bpf_list_push_back", shim!(list_push_back)),
    ("bpf_list_pop_front", shim!(list_pop_front)),
    ("bpf_list_pop_back", shim!(list_pop_back)),
    ("bpf_list_front", shim!(list_front)),
    ("bpf_list_back", shim!(list_back)),
    ("bpf_rbtree_add", shim!(rbtree_add)),
    ("bpf_rbtree_remove", shim!(rbtree_remove)),
    ("bpf_rbtree_first", shim!(rbtree_first)),
    ("bpf_rbtree_root", shim!(rbtree_root)),
    ("bpf_rbtree_left", shim!(rbtree_left)),
    ("bpf_rbtree_right", shim!(rbtree_right)),
];

/// The structure of a head that the program gives; `None` if nothing was ever in it.
fn find(run: &Run<'_>, head: u64, shape: Shape) -> Result<Option<Arc<Root>>, FaultKind> {
    let view = run.view(head, HEAD, true)?;
    run.vm.objects.graph.find(view, shape).map_err(no_head)
}

/// The same, made where there is none, for an object that comes into it.
///
/// In checked mode nobody has seen to it that who drops the head also drops what is in its
/// structure, and that nothing ends up in itself: a head is one of a value of a map or of an object,
/// where its type says so; and where objects with that head may themselves be in a structure, those
/// in theirs have no heads (`btf_check_and_fixup_fields`).
fn create(run: &Run<'_>, head: u64, shape: Shape, node: u64) -> Result<Arc<Root>, FaultKind> {
    if run.checked() {
        let kind = match shape {
            Shape::List => FieldKind::ListHead,
            Shape::Tree => FieldKind::TreeRoot,
        };
        match run.vm.objects.containing(head) {
            Some(owner) => {
                if !owner.layout.fields.has(head - owner.address(), kind) {
                    return Err(no_head("its object has no such head here"));
                }
                let object = run.vm.objects.containing(node);
                let heads = object.is_some_and(|object| has_any(&object, &HEADS));
                if heads && has_any(&owner, &NODES) {
                    return Err(no_head(
                        "what is in lists or trees has heads of its own at two levels",
                    ));
                }
            }
            None if !run.is_field(head, kind) => {
                return Err(no_head("no value of a map has such a head here"));
            }
            None => {}
        }
    }
    let view = run.view(head, HEAD, true)?;
    let graph = &run.vm.objects.graph;
    graph.find_or_create(view, shape).map_err(no_head)
}

const HEADS: [FieldKind; 2] = [FieldKind::ListHead, FieldKind::TreeRoot];
const NODES: [FieldKind; 2] = [FieldKind::ListNode, FieldKind::TreeNode];

fn has_any(object: &Object, kinds: &[FieldKind]) -> bool {
    let mut fields = object.layout.fields.iter();
    fields.any(|field| kinds.contains(&field.kind))
}

fn no_head(reason: &'static str) -> FaultKind {
    FaultKind::Argument {
        function: "head of a list or root of a tree",
        reason,
    }
}

/// The object around a node; the program gives its reference up.
fn link(run: &Run<'_>, node: u64, kind: FieldKind) -> Result<Linked, FaultKind> {
    let function = "node of a list or tree";
    let object = run.vm.objects.containing(node).ok_or(FaultKind::Argument {
        function,
        reason: "this is in no object",
    })?;
    let offset = node.wrapping_sub(object.address());
    if !object.layout.fields.has(offset, kind) {
        return Err(FaultKind::Argument {
            function,
            reason: "the object has no such node here",
        });
    }
    let object = run.take(object.address(), function)?;
    Ok(Linked { object, node })
}

fn push(run: &Run<'_>, head: u64, node: u64, front: bool) -> Outcome {
    let root = create(run, head, Shape::List, node)?;
    let linked = link(run, node, FieldKind::ListNode)?;
    Ok(match root.push(linked, front) {
        Ok(()) => 0,
        Err(linked) => {
            run.vm.objects.release(&linked.object);
            errno(Errno::EINVAL)
        }
    })
}

/// `bpf_list_push_front(head, node)`
fn list_push_front(run: &Run<'_>, [head, node, ..]: Arguments) -> Outcome {
    push(run, head, node, true)
}

/// `bpf_list_push_back(head, node)`
fn list_push_back(run: &Run<'_>, [head, node, ..]: Arguments) -> Outcome {
    push(run, head, node, false)
}

/// Gives the program what was taken out of a structure.
fn hold(run: &Run<'_>, linked: Option<Linked>) -> u64 {
    linked.map_or(0, |linked| match run.hold(linked.object) {
        0 => 0,
        _ => linked.node,
    })
}

/// `bpf_list_pop_front(head)`
fn list_pop_front(run: &Run<'_>, [head, ..]: Arguments) -> Outcome {
    let root = find(run, head, Shape::List)?;
    Ok(hold(run, root.and_then(|root| root.pop(true))))
}

/// `bpf_list_pop_back(head)`
fn list_pop_back(run: &Run<'_>, [head, ..]: Arguments) -> Outcome {
    let root = find(run, head, Shape::List)?;
    Ok(hold(run, root.and_then(|root| root.pop(false))))
}

/// `bpf_list_front(head)`
fn list_front(run: &Run<'_>, [head, ..]: Arguments) -> Outcome {
    let root = find(run, head, Shape::List)?;
    Ok(root.and_then(|root| root.peek(true)).unwrap_or(0))
}

/// `bpf_list_back(head)`
fn list_back(run: &Run<'_>, [head, ..]: Arguments) -> Outcome {
    let root = find(run, head, Shape::List)?;
    Ok(root.and_then(|root| root.peek(false)).unwrap_or(0))
}

/// `bpf_rbtree_add(root, node, less)`
fn rbtree_add(run: &Run<'_>, [root, node, less, ..]: Arguments) -> Outcome {
    let root = create(run, root, Shape::Tree, node)?;
    let linked = link(run, node, FieldKind::TreeNode)?;
    if !root.claim(&linked) {
        run.vm.objects.release(&linked.object);
        return Ok(errno(Errno::EINVAL));
    }
    let mut search = root.search();
    while let Some(other) = root.next(&mut search) {
        match run.call_back(less, [node, other, 0, 0, 0]) {
            Ok(answer) => root.turn(&mut search, answer != 0),
            Err(stop) => {
                root.disclaim(&linked);
                run.vm.objects.release(&linked.object);
                return Err(stop);
            }
        }
    }
    root.insert(linked, search);
    Ok(0)
}

/// `bpf_rbtree_remove(root, node)`
fn rbtree_remove(run: &Run<'_>, [root, node, ..]: Arguments) -> Outcome {
    let root = find(run, root, Shape::Tree)?;
    let node = run.view(node, NODE, true)?;
    Ok(hold(run, root.and_then(|root| root.remove(node))))
}

/// `bpf_rbtree_first(root)`
fn rbtree_first(run: &Run<'_>, [root, ..]: Arguments) -> Outcome {
    let root = find(run, root, Shape::Tree)?;
    Ok(root.and_then(|root| root.first()).unwrap_or(0))
}

/// `bpf_rbtree_root(root)`
fn rbtree_root(run: &Run<'_>, [root, ..]: Arguments) -> Outcome {
    let root = find(run, root, Shape::Tree)?;
    Ok(root.and_then(|root| root.top()).unwrap_or(0))
}

fn child(run: &Run<'_>, root: u64, node: u64, side: Side) -> Outcome {
    let root = find(run, root, Shape::Tree)?;
    let node = run.view(node, NODE, true)?;
    Ok(root.and_then(|root| root.child(node, side)).unwrap_or(0))
}

/// `bpf_rbtree_left(root, node)`
fn rbtree_left(run: &Run<'_>, [root, node, ..]: Arguments) -> Outcome {
    child(run, root, node, Side::Left)
}

/// `bpf_rbtree_right(root, node)`
fn rbtree_right(run: &Run<'_>, [root, node, ..]: Arguments) -> Outcome {
    child(run, root, node, Side::Right)
}
