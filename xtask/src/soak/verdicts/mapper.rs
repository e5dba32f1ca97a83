//! A program that writes files through mappings: this workspace has no unsafe code, and without it there is no mapping.
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};
use testkit::Program;

pub(super) struct Mapper {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Mapper {
    /// Builds it in `folder`, and starts it; what it stores is `payload`.
    pub(super) fn start(folder: &Path, payload: &[u8]) -> Result<Self> {
        let (source, program) = (folder.join("mapping.c"), folder.join("mapping"));
        fs::write(&source, include_str!("mapping.c"))?;
        let compiler = Program::at("cc").args(["-O1", "-o"]).arg(&program).arg(&source);
        compiler.run()?.success().context("a C compiler is needed")?;
        fs::write(folder.join("payload"), payload)?;
        let mut child = Command::new(&program)
            .arg(folder.join("payload"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("could not start the program that maps files")?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("it has an output")?);
        Ok(Self { child, orders, answers })
    }

    /// Maps the file for as long as this lives, and dirties its first page.
    pub(super) fn hold(&mut self, path: &Path) -> Result<()> {
        self.order("hold", path)
    }

    /// Stores the payload at the beginning of the file.
    pub(super) fn store(&mut self, path: &Path) -> Result<()> {
        self.order("store", path)
    }

    fn order(&mut self, order: &str, path: &Path) -> Result<()> {
        let orders = self.orders.as_mut().context("it has an input")?;
        writeln!(orders, "{order} {}", path.display())?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        ensure!(answer == "done\n", "`{}` could not be mapped", path.display());
        Ok(())
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        // It ends when its input does.
        drop(self.orders.take());
        self.child.wait().ok();
    }
}
