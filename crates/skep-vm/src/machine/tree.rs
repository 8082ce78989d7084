//! A red-black tree whose order its users decide, node by node. Nodes are places in a vector, so
//! that no link leads anywhere else; place 0 stands for "no node".

use std::ops::{Index, IndexMut};

/// Below a node: before or behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left = 0,
    Right = 1,
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// A node of the tree.
#[derive(Debug)]
pub(crate) struct Node<T> {
    value: Option<T>,
    parent: u32,
    children: [u32; 2],
    red: bool,
}

impl<T> Node<T> {
    const NONE: Self = Self {
        value: None,
        parent: 0,
        children: [0; 2],
        red: false,
    };
}

/// See above.
#[derive(Debug)]
pub(crate) struct Tree<T> {
    /// The first is the sentinel: black, and its parent is whatever an algorithm needs.
    nodes: Vec<Node<T>>,
    /// Places to be used again.
    free: Vec<u32>,
    root: u32,
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self {
            nodes: vec![Node::NONE],
            free: Vec::new(),
            root: 0,
        }
    }
}

// Every place inside the tree is one of `nodes`: links are only ever set to 0 or to places of the
// vector, which never shrinks.
impl<T> Index<u32> for Tree<T> {
    type Output = Node<T>;

    fn index(&self, place: u32) -> &Node<T> {
        &self.nodes[place as usize]
    }
}

impl<T> IndexMut<u32> for Tree<T> {
    fn index_mut(&mut self, place: u32) -> &mut Node<T> {
        &mut self.nodes[place as usize]
    }
}

impl<T> Tree<T> {
    /// The node at the top.
    pub(crate) fn root(&self) -> u32 {
        self.root
    }

    /// The value at a place, where there is one.
    pub(crate) fn value(&self, place: u32) -> Option<&T> {
        self.nodes.get(place as usize)?.value.as_ref()
    }

    /// The node below another.
    pub(crate) fn child(&self, place: u32, side: Side) -> u32 {
        let node = self.nodes.get(place as usize);
        node.map_or(0, |node| node.children[side as usize])
    }

    /// The first node in order.
    pub(crate) fn first(&self) -> u32 {
        self.outermost(self.root, Side::Left)
    }

    fn outermost(&self, mut place: u32, side: Side) -> u32 {
        while place != 0 && self.child(place, side) != 0 {
            place = self.child(place, side);
        }
        place
    }

    /// All values, in no order.
    pub(crate) fn into_values(self) -> Vec<T> {
        let values = self.nodes.into_iter().filter_map(|node| node.value);
        values.collect()
    }

    /// Puts a value below `parent`; where that place is taken, or the parent gone, next to it in
    /// some order.
    pub(crate) fn insert(&mut self, value: T, parent: u32, side: Side) -> u32 {
        let (mut parent, mut side) = (parent, side);
        if self.value(parent).is_none() {
            (parent, side) = (self.outermost(self.root, Side::Right), Side::Right);
        } else if self.child(parent, side) != 0 {
            parent = self.outermost(self.child(parent, side), side.other());
            side = side.other();
        }
        let node = Node {
            value: Some(value),
            parent,
            children: [0; 2],
            red: true,
        };
        let place = match self.free.pop() {
            Some(place) => {
                self[place] = node;
                place
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        };
        match parent {
            0 => self.root = place,
            _ => self[parent].children[side as usize] = place,
        }
        self.balance_inserted(place);
        place
    }

    fn side_of(&self, place: u32) -> Side {
        match self.child(self[place].parent, Side::Left) == place {
            true => Side::Left,
            false => Side::Right,
        }
    }

    /// Turns the child on `side` up, and `place` down to the other side.
    fn rotate(&mut self, place: u32, side: Side) {
        let (near, far) = (side.other() as usize, side as usize);
        let up = self[place].children[far];
        let moved = self[up].children[near];
        self[place].children[far] = moved;
        if moved != 0 {
            self[moved].parent = place;
        }
        self.replace(place, up);
        self[up].children[near] = place;
        self[place].parent = up;
    }

    /// Puts `new` below the parent of `old`, in its place.
    fn replace(&mut self, old: u32, new: u32) {
        let parent = self[old].parent;
        match parent {
            0 => self.root = new,
            _ => {
                let side = self.side_of(old) as usize;
                self[parent].children[side] = new;
            }
        }
        self[new].parent = parent;
    }

    fn balance_inserted(&mut self, mut place: u32) {
        while self[self[place].parent].red {
            let parent = self[place].parent;
            let grandparent = self[parent].parent;
            let side = self.side_of(parent);
            let uncle = self.child(grandparent, side.other());
            if self[uncle].red {
                self[parent].red = false;
                self[uncle].red = false;
                self[grandparent].red = true;
                place = grandparent;
                continue;
            }
            let mut parent = parent;
            if self.side_of(place) != side {
                self.rotate(parent, side.other());
                parent = place;
            }
            self[parent].red = false;
            self[grandparent].red = true;
            self.rotate(grandparent, side);
            break;
        }
        let root = self.root;
        self[root].red = false;
    }

    /// Takes the value at a place out.
    pub(crate) fn remove(&mut self, place: u32) -> Option<T> {
        self.value(place)?;
        let [left, right] = self[place].children;
        let (removed_red, rises);
        if left == 0 || right == 0 {
            rises = if left == 0 { right } else { left };
            removed_red = self[place].red;
            self.replace(place, rises);
        } else {
            let next = self.outermost(right, Side::Left);
            removed_red = self[next].red;
            rises = self.child(next, Side::Right);
            if self[next].parent == place {
                self[rises].parent = next;
            } else {
                self.replace(next, rises);
                self[next].children[Side::Right as usize] = right;
                self[right].parent = next;
            }
            self.replace(place, next);
            self[next].children[Side::Left as usize] = left;
            self[left].parent = next;
            self[next].red = self[place].red;
        }
        if !removed_red {
            self.balance_removed(rises);
        }
        self[0].parent = 0;
        let value = std::mem::replace(&mut self[place], Node::NONE).value;
        self.free.push(place);
        value
    }

    fn balance_removed(&mut self, mut place: u32) {
        while place != self.root && !self[place].red {
            let parent = self[place].parent;
            // The sentinel may be a child on both sides; then the other side has a node.
            let side = match self.child(parent, Side::Left) == place {
                true => Side::Left,
                false => Side::Right,
            };
            let other = side.other();
            let mut sibling = self.child(parent, other);
            if self[sibling].red {
                self[sibling].red = false;
                self[parent].red = true;
                self.rotate(parent, other);
                sibling = self.child(parent, other);
            }
            let (near, far) = (self.child(sibling, side), self.child(sibling, other));
            if !self[near].red && !self[far].red {
                self[sibling].red = true;
                place = parent;
                continue;
            }
            if !self[far].red {
                self[near].red = false;
                self[sibling].red = true;
                self.rotate(sibling, side);
                sibling = self.child(parent, other);
            }
            self[sibling].red = self[parent].red;
            self[parent].red = false;
            let far = self.child(sibling, other);
            self[far].red = false;
            self.rotate(parent, other);
            place = self.root;
        }
        self[place].red = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Black nodes on every way down, if the tree is sound.
    fn height(tree: &Tree<u32>, place: u32) -> usize {
        if place == 0 {
            return 1;
        }
        let node = &tree[place];
        for child in node.children.into_iter().filter(|child| *child != 0) {
            assert_eq!(tree[child].parent, place);
            assert!(!node.red || !tree[child].red, "red below red");
        }
        let [left, right] = node.children.map(|child| height(tree, child));
        assert_eq!(left, right, "black heights");
        left + usize::from(!node.red)
    }

    fn in_order(tree: &Tree<u32>, place: u32, out: &mut Vec<u32>) {
        if let Some(value) = tree.value(place) {
            in_order(tree, tree.child(place, Side::Left), out);
            out.push(*value);
            in_order(tree, tree.child(place, Side::Right), out);
        }
    }

    fn add(tree: &mut Tree<u32>, value: u32) -> u32 {
        let (mut below, mut side, mut next) = (0, Side::Left, tree.root());
        while let Some(other) = tree.value(next) {
            below = next;
            side = if value < *other {
                Side::Left
            } else {
                Side::Right
            };
            next = tree.child(below, side);
        }
        tree.insert(value, below, side)
    }

    #[test]
    fn stays_sorted_and_balanced() {
        let mut tree = Tree::default();
        let mut seed = 1_u32;
        let mut places = Vec::new();
        for round in 0..4000_u32 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if round % 3 == 2 {
                let at = (seed >> 8) as usize % places.len();
                let (place, value) = places.swap_remove(at);
                assert_eq!(tree.remove(place), Some(value));
                assert_eq!(tree.remove(place), None);
            } else {
                let value = seed >> 16;
                places.push((add(&mut tree, value), value));
            }
            if round % 50 == 0 {
                height(&tree, tree.root());
                let mut found = Vec::new();
                in_order(&tree, tree.root(), &mut found);
                let mut wanted: Vec<_> = places.iter().map(|(_, value)| *value).collect();
                wanted.sort_unstable();
                assert_eq!(found, wanted);
                assert_eq!(tree.value(tree.first()), wanted.first());
            }
        }
        while let Some((place, _)) = places.pop() {
            tree.remove(place);
            height(&tree, tree.root());
        }
        assert_eq!(tree.root(), 0);
    }

    #[test]
    fn places_that_are_gone_do_not_matter() {
        let mut tree = Tree::default();
        let place = add(&mut tree, 1);
        tree.remove(place);
        tree.insert(2, place, Side::Left);
        tree.insert(3, 77, Side::Right);
        let root = tree.root();
        let four = tree.insert(4, root, Side::Left);
        tree.insert(5, root, Side::Left);
        assert!(tree.value(four).is_some());
        height(&tree, tree.root());
        assert_eq!(tree.remove(99), None);
        assert_eq!(tree.into_values().len(), 4);
    }
}
