//! One directory as it is now: its names, what the rules leave of them, and how each file looks.
use crate::{
    context::{Ground, Root},
    entry::{Entry, KIND_DIRECTORY, KIND_FILE, KIND_MASK},
    found_rules::FoundRules,
    queue::{Dir, Names},
    rules::Decided,
    summary::{ErrorKind, PathError},
    sys::{self, Hint, Look},
};
use std::{io, io::Read, mem, ops::Range, sync::Arc};

/// An ignore file longer than this is not one.
const IGNORE_FILE_LIMIT: u64 = 256 * 1024;

/// A file of the directory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Listed {
    start: u32,
    length: u32,
    /// It could not be looked at: what is known of it is kept.
    pub(crate) kept: bool,
    pub(crate) look: Look,
}

impl Listed {
    /// Where its name lies in the arena.
    fn name(&self) -> Range<usize> {
        self.start as usize..self.start as usize + self.length as usize
    }

    fn zero_ended(&self) -> Range<usize> {
        self.start as usize..self.start as usize + self.length as usize + 1
    }
}

/// Why a name is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Hidden,
    /// By the pattern of this place among those of the request.
    Pattern(u32),
    /// By a line of an ignore file, which is looked for again when somebody asks.
    IgnoreFile,
    TooLarge,
    /// It was gone when it was to be looked at.
    Vanished,
    Unreadable(ErrorKind),
}

impl Why {
    fn of(decided: Decided) -> Option<Self> {
        match decided {
            Decided::LeftOut(pattern) => Some(Self::Pattern(pattern)),
            Decided::Hidden => Some(Self::Hidden),
            Decided::Kept(_) | Decided::Nothing => None,
        }
    }
}

/// A name that was left out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    pub(crate) listed: Listed,
    pub(crate) is_dir: bool,
    pub(crate) why: Why,
}

/// What a listing is wanted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The files that are not left out.
    #[default]
    Files,
    /// These, and every name that is left out, with its size.
    Everything,
    /// The directories to go on in. No file is looked at.
    Directories,
}

/// Whether something that a directory does not call one may lead to one.
fn may_be_directory<N>(here: &Here<'_, '_, N>, hint: Hint) -> bool {
    hint == Hint::Unknown || (hint == Hint::Symlink && here.root.canonical.is_some())
}

struct RawName {
    start: u32,
    length: u32,
    hint: Hint,
}

/// Where a listing happens.
pub(crate) struct Here<'h, 'a, N> {
    pub(crate) ground: &'h Ground<'a, N>,
    pub(crate) root: &'h Root<'a>,
    pub(crate) handle: &'h sys::Handle,
    /// Its path relative to the root.
    pub(crate) relative: &'h [u8],
    /// The directory above, for rules and for loops.
    pub(crate) parent: Option<&'h Dir<N>>,
    /// Device and inode, where links are followed.
    pub(crate) place: Option<(u64, u64)>,
}

/// Buffers for one directory after another.
#[derive(Default)]
pub(crate) struct Listing {
    /// Names, each with a zero byte behind it.
    arena: Vec<u8>,
    raw: Vec<RawName>,
    /// Places in `raw`, by inode, since a disk finds inodes faster in their order.
    by_inode: Vec<(u64, u32)>,
    files: Vec<Listed>,
    /// Places in `files` by name; the first eight bytes of the name come along to save most comparisons.
    by_name: Vec<(u64, u32)>,
    relative: Vec<u8>,
    pub(crate) children: Names,
    pub(crate) rules: Option<Arc<FoundRules>>,
    needs_paths: bool,
    pub(crate) errors: Vec<PathError>,
    pub(crate) ignored: u64,
    pub(crate) wanted: Wanted,
    left: Vec<Left>,
}

impl<N> Here<'_, '_, N> {
    /// The path of a name in it, relative to the root.
    pub(crate) fn child(&self, name: &[u8]) -> Vec<u8> {
        if self.relative.is_empty() {
            name.to_vec()
        } else {
            [self.relative, b"/", name].concat()
        }
    }
}

impl Listing {
    /// Lists the directory anew.
    pub(crate) fn read<N>(&mut self, here: &Here<'_, '_, N>, buffer: &mut sys::Buffer) -> io::Result<()> {
        self.clear();
        let (arena, raw, by_inode) = (&mut self.arena, &mut self.raw, &mut self.by_inode);
        sys::list(here.handle, buffer, &mut |name, hint, inode| {
            let start = arena.len() as u32;
            let length = name.len() as u32;
            by_inode.push((inode, raw.len() as u32));
            raw.push(RawName { start, length, hint });
            arena.extend_from_slice(name);
            arena.push(0);
        })?;
        self.rules = here.parent.and_then(|dir| dir.rules.clone());
        if !here.ground.ignore_files.is_empty() {
            self.read_ignore_files(here);
        }
        self.needs_paths = here.root.rules.needs_paths(here.relative);
        self.by_inode.sort_unstable();
        self.relative.clear();
        self.relative.extend_from_slice(here.relative);
        if !here.relative.is_empty() {
            self.relative.push(b'/');
        }
        let order = mem::take(&mut self.by_inode);
        for (_, place) in &order {
            self.take(here, *place as usize);
        }
        self.by_inode = order;
        self.sort();
        Ok(())
    }

    fn clear(&mut self) {
        // A directory of millions is rare: what it took is given back, so that it is not held for the rest of the scan.
        if self.raw.capacity() > 1 << 16 {
            let wanted = self.wanted;
            *self = Self::default();
            self.wanted = wanted;
        }
        self.arena.clear();
        self.raw.clear();
        self.by_inode.clear();
        self.files.clear();
        self.by_name.clear();
        self.children = Names::default();
        self.errors.clear();
        self.left.clear();
        self.ignored = 0;
    }

    fn take<N>(&mut self, here: &Here<'_, '_, N>, place: usize) {
        let RawName { start, length, hint } = self.raw[place];
        let mut listed = Listed {
            start,
            length,
            ..Listed::default()
        };
        let name = listed.name();
        if hint != Hint::Unknown
            && let Some(why) = self.why_left_out(here, name.clone(), hint == Hint::Directory)
        {
            return self.leave(here, listed, hint == Hint::Directory, why);
        }
        if hint == Hint::Directory {
            return self.children.push(&self.arena[name]);
        }
        if self.wanted == Wanted::Directories && !may_be_directory(here, hint) {
            return;
        }
        match self.look(here, &self.arena[listed.zero_ended()], hint) {
            Ok(look) => listed.look = look,
            Err(error) if sys::is_absent(&error) => return self.leave(here, listed, false, Why::Vanished),
            Err(error) => {
                let path = here.root.path(&[&self.relative, &self.arena[name]].concat());
                let error = PathError::io(path, "looking at it", &error);
                self.leave(here, listed, false, Why::Unreadable(error.kind));
                self.errors.push(error);
                listed.kept = true;
                return self.files.push(listed);
            }
        }
        let is_dir = listed.look.entry.mode & KIND_MASK == KIND_DIRECTORY;
        let is_known = hint != Hint::Unknown;
        if let Some(why) = (!is_known)
            .then(|| self.why_left_out(here, name.clone(), is_dir))
            .flatten()
        {
            self.leave(here, listed, is_dir, why);
        } else if is_dir {
            self.children.push(&self.arena[name]);
        } else if here.root.is_too_large(&listed.look) {
            self.leave(here, listed, false, Why::TooLarge);
        } else {
            self.files.push(listed);
        }
    }

    /// Leaves a name out, and remembers it where that is wanted.
    fn leave<N>(&mut self, here: &Here<'_, '_, N>, mut listed: Listed, is_dir: bool, why: Why) {
        let is_by_rule = matches!(why, Why::Hidden | Why::Pattern(_) | Why::IgnoreFile);
        self.ignored += u64::from(is_by_rule || why == Why::TooLarge);
        if self.wanted != Wanted::Everything {
            return;
        }
        if is_by_rule && !is_dir && listed.look == Look::default() {
            // Only for its size: what cannot be looked at is left out all the same.
            listed.look = sys::look(here.handle, &self.arena[listed.zero_ended()]).unwrap_or_default();
        }
        self.left.push(Left { listed, is_dir, why });
    }

    /// How a file looks, or what it leads to if it is a link to be followed.
    fn look<N>(&self, here: &Here<'_, '_, N>, zero_ended: &[u8], hint: Hint) -> io::Result<Look> {
        let mut look = None;
        if let (Hint::Symlink | Hint::Unknown, Some(inside)) = (hint, &here.root.canonical) {
            let name = &zero_ended[..zero_ended.len() - 1];
            let found = sys::follow(here.handle, name, inside)?.map(|found| found.look);
            look = found.filter(|look| !self.is_loop(here, look));
        }
        let mut look = match look {
            Some(look) => look,
            None => sys::look(here.handle, zero_ended)?,
        };
        if look.device != here.root.device {
            look.entry.volume = here.ground.volumes.of_device(look.device, || {
                // A file can be a mount of its own, whose volume its directory does not know.
                let is_ours = sys::look_at(here.handle).is_ok_and(|dir| dir.device == look.device);
                let asked = if is_ours { sys::volume(here.handle).ok() } else { None };
                asked.unwrap_or(look.device).max(1)
            });
        }
        Ok(look)
    }

    fn is_loop<N>(&self, here: &Here<'_, '_, N>, look: &Look) -> bool {
        let place = (look.device, look.entry.inode);
        look.entry.mode & KIND_MASK == KIND_DIRECTORY
            && (here.place == Some(place) || here.parent.is_some_and(|dir| dir.is_within(place)))
    }

    fn why_left_out<N>(&mut self, here: &Here<'_, '_, N>, name: Range<usize>, is_dir: bool) -> Option<Why> {
        if self.rules.is_none() && !self.needs_paths {
            return Why::of(here.root.rules.decide_name(&self.arena[name], is_dir));
        }
        let length = self.relative.len();
        self.relative.extend_from_slice(&self.arena[name]);
        let found = self
            .rules
            .as_ref()
            .and_then(|rules| rules.check(&self.relative, is_dir));
        let why = match found {
            Some(left_out) => left_out.then_some(Why::IgnoreFile),
            None => Why::of(here.root.rules.decide(sys::path_of(&self.relative), is_dir)),
        };
        self.relative.truncate(length);
        why
    }

    fn read_ignore_files<N>(&mut self, here: &Here<'_, '_, N>) {
        for wanted in here.ground.ignore_files {
            let is_it = |raw: &RawName| &self.arena[raw.start as usize..][..raw.length as usize] == wanted.as_bytes();
            if !self.raw.iter().any(is_it) {
                continue;
            }
            let mut text = String::new();
            let read = sys::open_file(here.handle, wanted.as_bytes(), None).and_then(|file| {
                let look = sys::look_at(&file)?;
                if look.entry.mode & KIND_MASK != KIND_FILE || look.entry.size > IGNORE_FILE_LIMIT {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                file.take(IGNORE_FILE_LIMIT).read_to_string(&mut text)
            });
            let mut faults = Vec::new();
            match read {
                Ok(_) => {
                    let file = sys::path_of(&here.root.path(&here.child(wanted.as_bytes()))).to_owned();
                    let (rules, found) = FoundRules::new(self.rules.take(), file, text, here.relative.len());
                    self.rules = Some(Arc::new(rules));
                    faults = found;
                }
                Err(error) if sys::is_absent(&error) => {}
                Err(error) => faults.push(error.to_string()),
            }
            let path = here.root.path(&here.child(wanted.as_bytes()));
            self.errors.extend(faults.into_iter().map(|detail| PathError {
                path: path.clone(),
                kind: ErrorKind::IgnoreFile,
                detail: format!("reading patterns: {detail}"),
            }));
        }
    }

    fn sort(&mut self) {
        let (files, arena) = (&self.files, &self.arena);
        let name = |place: u32| {
            let file = &files[place as usize];
            &arena[file.name()]
        };
        self.by_name.clear();
        self.by_name.extend((0..files.len() as u32).map(|place| {
            let mut first = [0; 8];
            let name = name(place);
            let length = name.len().min(8);
            first[..length].copy_from_slice(&name[..length]);
            (u64::from_be_bytes(first), place)
        }));
        self.by_name
            .sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| name(a.1).cmp(name(b.1))));
        // A name that is renamed while its directory is read can come twice.
        self.by_name.dedup_by(|a, b| a.0 == b.0 && name(a.1) == name(b.1));
    }

    /// The files by name.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&[u8], &Listed)> {
        self.by_name.iter().map(|(_, place)| {
            let file = &self.files[*place as usize];
            (&self.arena[file.name()], file)
        })
    }

    /// The names that were left out, where they are wanted.
    pub(crate) fn left(&self) -> impl Iterator<Item = (&[u8], &Left)> {
        self.left.iter().map(|left| (&self.arena[left.listed.name()], left))
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Replaces what could not be looked at by what is known of it, and drops what is not known.
    pub(crate) fn fill_kept(&mut self, known: impl Fn(&[u8]) -> Option<Entry>) {
        let arena = &self.arena;
        self.files.retain_mut(|file| {
            if !file.kept {
                return true;
            }
            let entry = known(&arena[file.name()]);
            if let Some(entry) = entry {
                file.look.entry = entry;
            }
            entry.is_some()
        });
        self.sort();
    }
}
