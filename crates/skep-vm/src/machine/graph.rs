//! Lists and red-black trees of objects. A head or root in a program's memory holds only the
//! number of its structure here, and a node the number of the structure that it is in and its
//! place there; both are checked before they are used.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, RwLock,
        atomic::{
            AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
};

use super::{
    objects::Object,
    tree::{Side, Tree},
};
use crate::memory::View;

/// Bytes of `struct bpf_list_head` and `struct bpf_rb_root`.
pub(crate) const HEAD: u64 = 16;
/// Bytes of `struct bpf_list_node`, and of the part of `struct bpf_rb_node` that is used.
pub(crate) const NODE: u64 = 24;

/// Lists and trees that a machine may have.
const MOST: usize = 1 << 20;

/// Why there is no structure for a head.
const NO_HEAD: &str = "this is no head of a list or root of a tree";
const TOO_MANY: &str = "there are too many lists and trees";

/// The words of a node: the structure it is in, and its place there.
const OWNER: usize = 0;
const PLACE: usize = 8;

/// An object in a list or tree, by the node in it. The structure has one reference of it.
#[derive(Debug, Clone)]
pub(crate) struct Linked {
    pub(crate) object: Arc<Object>,
    /// The address of the node.
    pub(crate) node: u64,
}

impl Linked {
    fn words(&self) -> Option<View<'_>> {
        let memory = self.object.memory();
        let offset = self.node.checked_sub(memory.address())?;
        memory.part(usize::try_from(offset).ok()?, NODE as usize)
    }

    fn word(&self, offset: usize) -> Option<&AtomicU64> {
        self.words()?.long_word(offset)
    }

    /// Takes the node for a structure, unless it is in one.
    fn claim(&self, owner: u64) -> bool {
        let claimed = |word: &AtomicU64| word.compare_exchange(0, owner, AcqRel, Acquire).is_ok();
        self.word(OWNER).is_some_and(claimed)
    }

    /// The node is in no structure any more.
    fn free(&self) {
        for offset in [PLACE, OWNER] {
            if let Some(word) = self.word(offset) {
                word.store(0, Release);
            }
        }
    }
}

#[derive(Debug)]
enum Structure {
    List(VecDeque<Linked>),
    Tree(Tree<Linked>),
}

/// Which structure a head is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    List,
    Tree,
}

/// One list or tree.
#[derive(Debug)]
pub(crate) struct Root {
    number: u64,
    /// Where its head is: a program that writes its number elsewhere has no part in it.
    head: u64,
    structure: Mutex<Structure>,
}

/// Where a new node goes in a tree, as far as the program has said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search {
    below: u32,
    side: Side,
}

/// The lists and trees of a machine.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    roots: RwLock<HashMap<u64, Arc<Root>>>,
    last: AtomicU64,
}

impl Graph {
    /// The structure of a head, if it has one yet; `Err` if it is of the other shape, or none.
    pub(crate) fn find(
        &self,
        head: View<'_>,
        shape: Shape,
    ) -> Result<Option<Arc<Root>>, &'static str> {
        let word = head.long_word(0).ok_or(NO_HEAD)?;
        match word.load(Acquire) {
            0 => Ok(None),
            number => self.root(number, head, shape).map(Some),
        }
    }

    fn root(&self, number: u64, head: View<'_>, shape: Shape) -> Result<Arc<Root>, &'static str> {
        let roots = self.roots.read().unwrap_or_else(|e| e.into_inner());
        let root = roots.get(&number).ok_or(NO_HEAD)?;
        let of_shape = match *root.lock() {
            Structure::List(_) => shape == Shape::List,
            Structure::Tree(_) => shape == Shape::Tree,
        };
        let here = root.head == head.address();
        (of_shape && here).then(|| Arc::clone(root)).ok_or(NO_HEAD)
    }

    /// The structure of a head, which gets one if it has none.
    pub(crate) fn find_or_create(
        &self,
        head: View<'_>,
        shape: Shape,
    ) -> Result<Arc<Root>, &'static str> {
        if let Some(root) = self.find(head, shape)? {
            return Ok(root);
        }
        let number = self.last.fetch_add(1, Relaxed) + 1;
        let root = Arc::new(Root {
            number,
            head: head.address(),
            structure: Mutex::new(match shape {
                Shape::List => Structure::List(VecDeque::new()),
                Shape::Tree => Structure::Tree(Tree::default()),
            }),
        });
        let mut roots = self.roots.write().unwrap_or_else(|e| e.into_inner());
        if roots.len() >= MOST {
            return Err(TOO_MANY);
        }
        roots.insert(number, Arc::clone(&root));
        drop(roots);
        let word = head.long_word(0).ok_or(NO_HEAD)?;
        match word.compare_exchange(0, number, AcqRel, Acquire) {
            Ok(_) => Ok(root),
            Err(other) => {
                self.remove_root(number);
                self.root(other, head, shape)
            }
        }
    }

    /// Takes a structure apart; answers its objects, a reference each.
    pub(crate) fn remove_root(&self, number: u64) -> Vec<Arc<Object>> {
        if number == 0 {
            return Vec::new();
        }
        let mut roots = self.roots.write().unwrap_or_else(|e| e.into_inner());
        let root = roots.remove(&number);
        drop(roots);
        let Some(root) = root else {
            return Vec::new();
        };
        let all: Vec<Linked> = match &mut *root.lock() {
            Structure::List(list) => std::mem::take(list).into(),
            Structure::Tree(tree) => std::mem::take(tree).into_values(),
        };
        all.iter().for_each(Linked::free);
        all.into_iter().map(|linked| linked.object).collect()
    }
}

impl Root {
    fn lock(&self) -> MutexGuard<'_, Structure> {
        self.structure.lock().unwrap_or_else(|e| e.into_inner())
    }

    // ── lists ───────────────────────────────────────────────────────────────────────────────

    /// Puts a node at one end; not if it is in a list or tree.
    pub(crate) fn push(&self, linked: Linked, front: bool) -> Result<(), Linked> {
        let mut structure = self.lock();
        let Structure::List(list) = &mut *structure else {
            return Err(linked);
        };
        if !linked.claim(self.number) {
            return Err(linked);
        }
        match front {
            true => list.push_front(linked),
            false => list.push_back(linked),
        }
        Ok(())
    }

    /// Takes the node at one end out.
    pub(crate) fn pop(&self, front: bool) -> Option<Linked> {
        let mut structure = self.lock();
        let Structure::List(list) = &mut *structure else {
            return None;
        };
        let linked = match front {
            true => list.pop_front(),
            false => list.pop_back(),
        }?;
        linked.free();
        Some(linked)
    }

    /// The address of the node at one end.
    pub(crate) fn peek(&self, front: bool) -> Option<u64> {
        match &*self.lock() {
            Structure::List(list) if front => list.front(),
            Structure::List(list) => list.back(),
            Structure::Tree(_) => None,
        }
        .map(|linked| linked.node)
    }

    // ── trees ───────────────────────────────────────────────────────────────────────────────

    /// Takes a node for this tree, before its place is known; `false` if it is in one already.
    pub(crate) fn claim(&self, linked: &Linked) -> bool {
        linked.claim(self.number)
    }

    /// Gives a claimed node up.
    pub(crate) fn disclaim(&self, linked: &Linked) {
        linked.free();
    }

    /// Begins the search for a place.
    pub(crate) fn search(&self) -> Search {
        let side = Side::Left;
        Search { below: 0, side }
    }

    /// The node to compare with next; `None` at the place.
    pub(crate) fn next(&self, search: &mut Search) -> Option<u64> {
        let structure = self.lock();
        let Structure::Tree(tree) = &*structure else {
            return None;
        };
        let next = match search.below {
            0 => tree.root(),
            below => tree.child(below, search.side),
        };
        let linked = tree.value(next)?;
        search.below = next;
        Some(linked.node)
    }

    /// Says on which side of the node that [`Root::next`] gave the new one is.
    pub(crate) fn turn(&self, search: &mut Search, less: bool) {
        search.side = if less { Side::Left } else { Side::Right };
    }

    /// Puts a claimed node where the search has ended. If the tree has changed since, in a
    /// program that does not hold its lock, it gets a place nearby.
    pub(crate) fn insert(&self, linked: Linked, search: Search) {
        let mut structure = self.lock();
        if let Structure::Tree(tree) = &mut *structure {
            let place = tree.insert(linked, search.below, search.side);
            let linked = tree.value(place);
            if let Some(word) = linked.and_then(|linked| linked.word(PLACE)) {
                word.store(place.into(), Release);
            }
        }
    }

    /// The place in the tree of a node at this address.
    fn place(&self, tree: &Tree<Linked>, node: View<'_>) -> Option<u32> {
        if node.long_word(OWNER)?.load(Acquire) != self.number {
            return None;
        }
        let place = u32::try_from(node.long_word(PLACE)?.load(Acquire)).ok()?;
        (tree.value(place)?.node == node.address()).then_some(place)
    }

    /// Takes a node out of the tree; `None` if it is not in this one.
    pub(crate) fn remove(&self, node: View<'_>) -> Option<Linked> {
        let mut structure = self.lock();
        let Structure::Tree(tree) = &mut *structure else {
            return None;
        };
        let place = self.place(tree, node)?;
        let linked = tree.remove(place)?;
        linked.free();
        Some(linked)
    }

    /// The address of the first node of the tree.
    pub(crate) fn first(&self) -> Option<u64> {
        match &*self.lock() {
            Structure::Tree(tree) => Some(tree.value(tree.first())?.node),
            Structure::List(_) => None,
        }
    }

    /// The address of the node at the top.
    pub(crate) fn top(&self) -> Option<u64> {
        match &*self.lock() {
            Structure::Tree(tree) => Some(tree.value(tree.root())?.node),
            Structure::List(_) => None,
        }
    }

    /// The address of the node below another.
    pub(crate) fn child(&self, node: View<'_>, side: Side) -> Option<u64> {
        let structure = self.lock();
        let Structure::Tree(tree) = &*structure else {
            return None;
        };
        let place = self.place(tree, node)?;
        Some(tree.value(tree.child(place, side))?.node)
    }
}
