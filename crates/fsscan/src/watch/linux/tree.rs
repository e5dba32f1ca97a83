//! The directories that are watched, and their names. Pure: it knows numbers of watches and sets none.
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// A directory that is, or was, watched. A number is never given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct NodeId {
    slot: u32,
    generation: u32,
}

#[derive(Debug)]
struct Node {
    watch: i32,
    root: usize,
    parent: Option<NodeId>,
    name: Arc<[u8]>,
    children: BTreeMap<Arc<[u8]>, NodeId>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    node: Option<Node>,
}

/// The directories that are watched.
#[derive(Debug, Default)]
pub(super) struct Tree {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_watch: HashMap<i32, NodeId>,
}

impl Tree {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_watch.len()
    }

    pub(super) fn by_watch(&self, watch: i32) -> Option<NodeId> {
        self.by_watch.get(&watch).copied()
    }

    fn get(&self, id: NodeId) -> Option<&Node> {
        let slot = self.slots.get(id.slot as usize)?;
        slot.node.as_ref().filter(|_| slot.generation == id.generation)
    }

    fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        let slot = self.slots.get_mut(id.slot as usize)?;
        slot.node.as_mut().filter(|_| slot.generation == id.generation)
    }

    pub(super) fn holds(&self, id: NodeId) -> bool {
        self.get(id).is_some()
    }

    pub(super) fn root_of(&self, id: NodeId) -> Option<usize> {
        self.get(id).map(|node| node.root)
    }

    pub(super) fn is_root(&self, id: NodeId) -> bool {
        self.get(id).is_some_and(|node| node.parent.is_none())
    }

    pub(super) fn child(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        self.get(parent)?.children.get(name).copied()
    }

    /// The names of the children that are watched.
    pub(super) fn children(&self, id: NodeId) -> impl Iterator<Item = (&Arc<[u8]>, NodeId)> {
        let children = self.get(id).into_iter().flat_map(|node| &node.children);
        children.map(|(name, child)| (name, *child))
    }

    /// Adds a directory. The place and the watch must be free. `None` when the parent is gone.
    pub(super) fn add(&mut self, root: usize, parent: Option<NodeId>, name: &[u8], watch: i32) -> Option<NodeId> {
        let name: Arc<[u8]> = name.into();
        if parent.is_some_and(|parent| !self.holds(parent)) {
            return None;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let place = &mut self.slots[slot as usize];
        let id = NodeId {
            slot,
            generation: place.generation,
        };
        place.node = Some(Node {
            watch,
            root,
            parent,
            name: Arc::clone(&name),
            children: BTreeMap::new(),
        });
        if let Some(above) = parent.and_then(|parent| self.get_mut(parent)) {
            above.children.insert(name, id);
        }
        self.by_watch.insert(watch, id);
        Some(id)
    }

    /// Removes a directory and all below it; their watches.
    pub(super) fn remove(&mut self, id: NodeId) -> Vec<i32> {
        let mut watches = Vec::new();
        if let Some((Some(parent), name)) = self.get(id).map(|node| (node.parent, Arc::clone(&node.name)))
            && let Some(above) = self.get_mut(parent)
        {
            above.children.remove(&name);
        }
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            let Some(slot) = self.slots.get_mut(id.slot as usize) else {
                continue;
            };
            if slot.generation != id.generation {
                continue;
            }
            let Some(node) = slot.node.take() else { continue };
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(id.slot);
            self.by_watch.remove(&node.watch);
            watches.push(node.watch);
            stack.extend(node.children.into_values());
        }
        watches
    }

    /// Writes the path of a directory relative to its root behind what `path` holds: each name with a slash before it.
    pub(super) fn push_path(&self, id: NodeId, path: &mut Vec<u8>) {
        let mut names: Vec<&[u8]> = Vec::with_capacity(16);
        let mut next = self.get(id);
        while let Some(node) = next
            && let Some(parent) = node.parent
        {
            names.push(&node.name);
            next = self.get(parent);
        }
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
    }

    /// The names from its root down to a directory.
    pub(super) fn names(&self, id: NodeId) -> Vec<Arc<[u8]>> {
        let mut names = Vec::new();
        let mut next = self.get(id);
        while let Some(node) = next
            && let Some(parent) = node.parent
        {
            names.push(Arc::clone(&node.name));
            next = self.get(parent);
        }
        names.reverse();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_removed_takes_all_below_with_it_and_leaves_no_number_to_another() {
        let mut tree = Tree::default();
        let root = tree.add(0, None, b"", 1).unwrap();
        let a = tree.add(0, Some(root), b"a", 2).unwrap();
        let b = tree.add(0, Some(a), b"b", 3).unwrap();
        let mut path = b"/top".to_vec();
        tree.push_path(b, &mut path);
        assert_eq!(path, b"/top/a/b");
        assert_eq!(tree.names(b).concat(), b"ab");

        let mut gone = tree.remove(a);
        gone.sort_unstable();
        assert_eq!((gone, tree.len()), (vec![2, 3], 1));
        assert!(tree.child(root, b"a").is_none() && tree.by_watch(3).is_none());
        assert!(tree.add(0, Some(b), b"c", 4).is_none(), "its parent is gone");

        let again = tree.add(0, Some(root), b"a", 5).unwrap();
        assert!(!tree.holds(a) && !tree.holds(b) && tree.holds(again));
        assert_eq!(tree.remove(a), Vec::<i32>::new(), "it is another by now");
        assert!(tree.holds(again));
    }
}
