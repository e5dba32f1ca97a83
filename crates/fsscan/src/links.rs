//! Hard links, so that bytes are counted once.
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Files of which some, but not all, links were seen.
#[derive(Default)]
pub(crate) struct Links(Mutex<HashMap<(u64, u64), u32>>);

impl Links {
    /// Whether this is the first link seen of a file with more than one. It is forgotten with its last.
    pub(crate) fn is_first(&self, device: u64, inode: u64, links: u32) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left) = open.get_mut(&(device, inode)) else {
            open.insert((device, inode), links.saturating_sub(1));
            return true;
        };
        *left = left.saturating_sub(1);
        if *left == 0 {
            open.remove(&(device, inode));
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_link_counts_and_the_last_is_forgotten() {
        let links = Links::default();
        let seen: Vec<_> = (0..3).map(|_| links.is_first(1, 2, 3)).collect();
        assert_eq!(seen, [true, false, false]);
        assert!(links.0.lock().unwrap().is_empty());
    }
}
