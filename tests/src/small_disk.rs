//! A small file system that a test can fill.
use anyhow::Result;
use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};
use testkit::Program;

/// A small file system, gone when this is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    place: PathBuf,
}

impl SmallDisk {
    /// Mounts one of `size` (as `mount` takes it) at `place`, which is made. `None`, and a word about it, where whoever
    /// runs the test may not mount.
    ///
    /// # Errors
    /// When the place cannot be made.
    pub fn mount(place: &Path, size: &str) -> Result<Option<Self>> {
        fs::create_dir_all(place)?;
        let size = format!("size={size},mode=700");
        let mount = Program::at("mount")
            .args(["-t", "tmpfs", "-o", &size, "shoal-test"])
            .arg(place);
        Ok(match mount.run() {
            Ok(output) if output.code() == Some(0) => Some(Self {
                place: place.to_owned(),
            }),
            Ok(output) => {
                eprintln!(
                    "skipped: no file system can be mounted here: {}",
                    output.stderr().trim()
                );
                None
            }
            Err(error) => {
                eprintln!("skipped: no file system can be mounted here: {error:#}");
                None
            }
        })
    }

    fn filler(&self) -> PathBuf {
        self.place.join("filler")
    }

    /// Takes all room that is left.
    ///
    /// # Errors
    /// When it fails by anything but a full disk.
    pub fn fill(&self) -> Result<()> {
        let mut filler = OpenOptions::new().create(true).append(true).open(self.filler())?;
        for length in [1 << 16, 1 << 10] {
            let block = vec![0xff; length];
            let full = loop {
                if let Err(error) = filler.write_all(&block) {
                    break error;
                }
            };
            if full.kind() != ErrorKind::StorageFull {
                return Err(full.into());
            }
        }
        Ok(())
    }

    /// Gives it back.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn make_room(&self) -> Result<()> {
        Ok(fs::remove_file(self.filler())?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // A program that still works there keeps it until its own end, and the test's folder can be removed all the same.
        Program::at("umount").arg("--lazy").arg(&self.place).run().ok();
    }
}
