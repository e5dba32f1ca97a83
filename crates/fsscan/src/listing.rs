//! One directory as it is now: its names, what the rules leave of them, and how each file looks.
use crate::{
    context::{Context, Root},
    entry::{Entry, FileKind, KIND_DIRECTORY, KIND_FILE, KIND_MASK},
    queue::{Dir, Names},
    rules::FoundRules,
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

struct RawName {
    start: u32,
    length: u32,
    hint: Hint,
}

/// Where a listing happens.
pub(crate) struct Here<'h, 'a> {
    pub(crate) context: &'h Context<'a>,
    pub(crate) root: &'h Root<'a>,
    pub(crate) handle: &'h sys::Handle,
    /// Its path relative to the root.
    pub(crate) relative: &'h [u8],
    /// The directory above, for rules and for loops.
    pub(crate) parent: Option<&'h Dir>,
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
}

impl Here<'_, '_> {
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
    pub(crate) fn read(&mut self, here: &Here<'_, '_>, buffer: &mut sys::Buffer) -> io::Result<()> {
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
        if !here.context.request.ignore_files.is_empty() {
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
            *self = Self::default();
        }
        self.arena.clear();
        self.raw.clear();
        self.by_inode.clear();
        self.files.clear();
        self.by_name.clear();
        self.children = Names::default();
        self.errors.clear();
        self.ignored = 0;
    }

    fn take(&mut self, here: &Here<'_, '_>, place: usize) {
        let RawName { start, length, hint } = self.raw[place];
        let zero_ended = start as usize..start as usize + length as usize + 1;
        let name = start as usize..zero_ended.end - 1;
        if hint != Hint::Unknown && self.is_left_out(here, name.clone(), hint == Hint::Directory) {
            self.ignored += 1;
            return;
        }
        if hint == Hint::Directory {
            self.children.push(&self.arena[name]);
            return;
        }
        let mut listed = Listed {
            start,
            length,
            ..Listed::default()
        };
        match self.look(here, &self.arena[zero_ended], hint) {
            Ok(look) => listed.look = look,
            Err(error) if sys::is_absent(&error) => return,
            Err(error) => {
                let path = here.root.path(&[&self.relative, &self.arena[name]].concat());
                self.errors.push(PathError::io(path, "looking at it", &error));
                listed.kept = true;
                self.files.push(listed);
                return;
            }
        }
        let is_dir = listed.look.entry.mode & KIND_MASK == KIND_DIRECTORY;
        if hint == Hint::Unknown && self.is_left_out(here, name.clone(), is_dir) {
            self.ignored += 1;
        } else if is_dir {
            self.children.push(&self.arena[name]);
        } else if listed.look.entry.kind() == FileKind::File
            && here
                .root
                .request
                .max_file_size
                .is_some_and(|most| listed.look.entry.size > most)
        {
            self.ignored += 1;
        } else {
            self.files.push(listed);
        }
    }

    /// How a file looks, or what it leads to if it is a link to be followed.
    fn look(&self, here: &Here<'_, '_>, zero_ended: &[u8], hint: Hint) -> io::Result<Look> {
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
            look.entry.volume = here.context.volumes.of_device(look.device, || {
                // A file can be a mount of its own, whose volume its directory does not know.
                let is_ours = sys::look_at(here.handle).is_ok_and(|dir| dir.device == look.device);
                let asked = if is_ours { sys::volume(here.handle).ok() } else { None };
                asked.unwrap_or(look.device).max(1)
            });
        }
        Ok(look)
    }

    fn is_loop(&self, here: &Here<'_, '_>, look: &Look) -> bool {
        let place = (look.device, look.entry.inode);
        look.entry.mode & KIND_MASK == KIND_DIRECTORY
            && (here.place == Some(place) || here.parent.is_some_and(|dir| dir.is_within(place)))
    }

    fn is_left_out(&mut self, here: &Here<'_, '_>, name: Range<usize>, is_dir: bool) -> bool {
        if self.rules.is_none() && !self.needs_paths {
            return here.root.rules.leaves_out_name(&self.arena[name], is_dir);
        }
        let length = self.relative.len();
        self.relative.extend_from_slice(&self.arena[name]);
        let found = self
            .rules
            .as_ref()
            .and_then(|rules| rules.check(&self.relative, is_dir));
        let left_out = found.unwrap_or_else(|| {
            here.root
                .rules
                .check(sys::path_of(&self.relative), is_dir)
                .is_left_out()
        });
        self.relative.truncate(length);
        left_out
    }

    fn read_ignore_files(&mut self, here: &Here<'_, '_>) {
        for wanted in &here.context.request.ignore_files {
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
                    let (rules, found) = FoundRules::new(self.rules.take(), &text, here.relative.len());
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
            &arena[file.start as usize..][..file.length as usize]
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
            (&self.arena[file.start as usize..][..file.length as usize], file)
        })
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
            let entry = known(&arena[file.start as usize..][..file.length as usize]);
            if let Some(entry) = entry {
                file.look.entry = entry;
            }
            entry.is_some()
        });
        self.sort();
    }
}
