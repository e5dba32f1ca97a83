//! A walking thread: takes a directory, opens it through no link, lists it, and goes on below. What is done with a
//! directory is the business of its [`Steps`].
use crate::{
    context::{Ground, Root},
    listing::{Here, Listing, Wanted},
    queue::{Dir, Held, Job},
    summary::{ErrorKind, PathError},
    sys,
};
use std::{
    io, mem,
    sync::{Arc, PoisonError, atomic::Ordering},
};

const DEEPEST: u32 = 4096;
const LONGEST: usize = 32 * 1024;

/// The walk was stopped or whoever it works for is gone: there is nobody left to work for.
pub(crate) struct Over;

/// A directory on the way into it.
pub(crate) struct Way<'w, N> {
    pub(crate) root: usize,
    /// `None` for a root.
    pub(crate) parent: Option<&'w Arc<Dir<N>>>,
    pub(crate) name: &'w [u8],
    /// Its path relative to the root.
    pub(crate) relative: &'w [u8],
}

/// What one thread does on its way.
pub(crate) trait Steps {
    /// What is kept of a directory for the sake of those below.
    type Note;
    /// What is found out about a directory before it is opened.
    type Before;
    /// Whether each directory is looked at when it is opened, even where the walk does not need it.
    const LOOKS: bool;

    /// A directory is about to be opened, or `None` if it is not to be, and what its listing is wanted for.
    fn before(&mut self, way: &Way<'_, Self::Note>) -> Option<(Self::Before, Wanted)>;

    /// It lies on another file system than its root and is left out.
    fn elsewhere(&mut self, way: &Way<'_, Self::Note>) -> Result<(), Over>;

    /// It could not be opened or listed, though it is there.
    fn failed(&mut self, way: &Way<'_, Self::Note>, before: Self::Before, error: PathError) -> Result<(), Over>;

    /// It was listed.
    fn listed(
        &mut self,
        way: &Way<'_, Self::Note>,
        before: Self::Before,
        here: &Here<'_, '_, Self::Note>,
        listing: &mut Listing,
    ) -> Result<Self::Note, Over>;
}

/// A walking thread.
pub(crate) struct Walker<'c, 'a, S: Steps> {
    ground: &'c Ground<'a, S::Note>,
    steps: S,
    buffer: sys::Buffer,
    listing: Listing,
    relative: Vec<u8>,
}

impl<'c, 'a, S: Steps> Walker<'c, 'a, S> {
    pub(crate) fn new(ground: &'c Ground<'a, S::Note>, steps: S) -> Self {
        Self {
            ground,
            steps,
            buffer: sys::Buffer::default(),
            listing: Listing::default(),
            relative: Vec::new(),
        }
    }

    /// Walks until nothing is left, the walk is stopped, or nobody wants more. Gives back what walked.
    pub(crate) fn run(mut self) -> S {
        let queue = &self.ground.queue;
        while let Some(job) = queue.pop() {
            let _at_work = queue.at_work();
            if self.ground.stop.load(Ordering::Relaxed) || self.walk(job).is_err() {
                queue.close();
            }
        }
        self.steps
    }

    fn walk(&mut self, job: Job<S::Note>) -> Result<(), Over> {
        let mut relative = mem::take(&mut self.relative);
        relative.clear();
        let done = match job {
            Job::Root(root) => self.walk_root(root),
            Job::Child(parent, name) => {
                parent.relative(&mut relative);
                if !relative.is_empty() {
                    relative.push(b'/');
                }
                relative.extend_from_slice(&name);
                self.walk_child(&parent, &name, &relative)
            }
        };
        self.relative = relative;
        done
    }

    fn walk_root(&mut self, root: usize) -> Result<(), Over> {
        let ground = self.ground;
        let here = &ground.roots[root];
        let place = (S::LOOKS || here.canonical.is_some()).then_some((here.device, here.inode));
        let way = Way {
            root,
            parent: None,
            name: &[],
            relative: &[],
        };
        if let Some((before, wanted)) = self.steps.before(&way) {
            self.visit(&way, before, wanted, place, Opened::Root(&here.handle))?;
        }
        Ok(())
    }

    fn walk_child(&mut self, parent: &Arc<Dir<S::Note>>, name: &[u8], relative: &[u8]) -> Result<(), Over> {
        let root = &self.ground.roots[parent.root];
        let way = Way {
            root: parent.root,
            parent: Some(parent),
            name,
            relative,
        };
        let Some((before, wanted)) = self.steps.before(&way) else {
            return Ok(());
        };
        if parent.depth >= DEEPEST || relative.len() > LONGEST {
            let error = PathError {
                path: root.path(relative),
                kind: ErrorKind::TooDeep,
                detail: format!("deeper than {DEEPEST} levels or {LONGEST} bytes of path"),
            };
            return self.steps.failed(&way, before, error);
        }
        let handle = match open(parent, name, root) {
            Ok(handle) => handle,
            Err(error) if sys::is_absent(&error) => return Ok(()),
            Err(error) => {
                let error = PathError::io(root.path(relative), "opening it", &error);
                return self.steps.failed(&way, before, error);
            }
        };
        let mut place = None;
        if S::LOOKS || root.request.one_file_system || root.canonical.is_some() {
            match sys::look_at(&handle) {
                Ok(look) if root.request.one_file_system && look.device != root.device => {
                    return self.steps.elsewhere(&way);
                }
                Ok(look) => place = Some((look.device, look.entry.inode)),
                Err(error) => {
                    let error = PathError::io(root.path(relative), "looking at it", &error);
                    return self.steps.failed(&way, before, error);
                }
            }
        }
        self.visit(&way, before, wanted, place, Opened::Child(handle))
    }

    /// Lists an open directory, has it seen to, and queues its children.
    fn visit(
        &mut self,
        way: &Way<'_, S::Note>,
        before: S::Before,
        wanted: Wanted,
        place: Option<(u64, u64)>,
        opened: Opened<'_>,
    ) -> Result<(), Over> {
        let root = &self.ground.roots[way.root];
        let here = Here {
            ground: self.ground,
            root,
            handle: opened.handle(),
            relative: way.relative,
            parent: way.parent.map(AsRef::as_ref),
            place,
        };
        self.listing.wanted = wanted;
        if let Err(error) = self.listing.read(&here, &mut self.buffer) {
            if way.parent.is_some() && sys::is_absent(&error) {
                return Ok(());
            }
            if way.parent.is_none() {
                *root.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            }
            let error = PathError::io(root.path(way.relative), "listing it", &error);
            return self.steps.failed(way, before, error);
        }
        let note = self.steps.listed(way, before, &here, &mut self.listing)?;
        let dir = Dir {
            handle: opened.held(&self.ground.held),
            depth: way.parent.map_or(0, |parent| parent.depth + 1),
            parent: way.parent.cloned(),
            name: way.name.into(),
            root: way.root,
            note,
            path_bytes: way.relative.len(),
            rules: self.listing.rules.take(),
            place,
        };
        self.ground
            .queue
            .push(Arc::new(dir), mem::take(&mut self.listing.children));
        Ok(())
    }
}

/// An open directory. That of a root is held by the root.
enum Opened<'o> {
    Root(&'o sys::Handle),
    Child(sys::Handle),
}

impl Opened<'_> {
    fn handle(&self) -> &sys::Handle {
        match self {
            Self::Root(handle) => handle,
            Self::Child(handle) => handle,
        }
    }

    /// The handle for the sake of the children, if there is room for it.
    fn held(self, count: &Arc<std::sync::atomic::AtomicUsize>) -> Option<Held> {
        match self {
            Self::Root(_) => None,
            Self::Child(handle) => Held::new(handle, count),
        }
    }
}

fn open<N>(parent: &Dir<N>, name: &[u8], root: &Root<'_>) -> io::Result<sys::Handle> {
    let (from, names) = parent.way_to(name, &root.handle);
    let opened = sys::open_beneath(from, &names);
    let Some(inside) = &root.canonical else { return opened };
    match opened {
        // Links are followed: it may be one to a directory inside the root, now as when it was listed.
        Err(error) if sys::is_absent(&error) => match sys::follow(from, &names.join(&b'/'), inside)? {
            Some(found) => sys::open_place(&found.target),
            None => Err(error),
        },
        other => other,
    }
}
