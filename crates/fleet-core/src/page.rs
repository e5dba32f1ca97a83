//! Lists in pages: by the key after which the next page starts, so that rows that come and go move nothing.

/// Which page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest<K> {
    /// The key of the last row seen, none for the first page.
    pub after: Option<K>,
    /// At most so many rows.
    pub limit: usize,
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, K> {
    /// The rows, in the order of their keys.
    pub items: Vec<T>,
    /// What to hand in as `after` for the next page; none when this was the last. A page may hold fewer rows than asked
    /// for, even none, and still have a next one: the work for one page is bounded, whatever the filter.
    pub next: Option<K>,
}

impl<T, K> Page<T, K> {
    /// Makes a page from up to `limit + 1` rows: the surplus one only tells that there are more.
    pub(crate) fn from_surplus(mut items: Vec<T>, limit: usize, key: impl Fn(&T) -> K) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(key) } else { None };
        Self { items, next }
    }
}
