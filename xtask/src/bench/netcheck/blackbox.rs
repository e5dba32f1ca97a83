//! prometheus-blackbox-exporter: started on a free port, and asked for probes over connections that are kept.
use super::turns::{Told, Turn};
use crate::bench::{measure::Cost, procfs};
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
    time::Instant,
};
use testkit::{Daemon, Program};

pub(super) const NAME: &str = "prometheus-blackbox-exporter";

/// By `tcp` and by `http`, each as the exporter does it unless told otherwise.
const MODULES: &str = "modules: {tcp: {prober: tcp, timeout: 10s}, http: {prober: http, timeout: 10s}}\n";

/// One that runs; it ends with this.
pub(super) struct Blackbox {
    daemon: Daemon,
    address: SocketAddr,
}

impl Blackbox {
    pub(super) fn start(home: &Path) -> Result<Self> {
        let modules = home.join("blackbox.yml");
        fs::write(&modules, MODULES).context("could not write the modules of the exporter")?;
        let config = format!("--config.file={}", modules.display());
        let program = Program::at(NAME).args([&config, "--web.listen-address=127.0.0.1:0"]);
        let daemon = program.start()?;
        let address = daemon.wait_for("where it listens", listens)?;
        Ok(Self { daemon, address })
    }

    /// Probes each target, so many at a time. What the exporter spends is counted, and what asking it takes is not.
    pub(super) fn probe(&self, module: &str, targets: &[String], parallel: usize) -> Result<Turn> {
        let id = self.daemon.id();
        let (before, begun) = (procfs::processor_seconds(id)?, Instant::now());
        let (next, succeeded) = (AtomicUsize::new(0), AtomicU64::new(0));
        let ask = || -> Result<()> {
            let mut asking = Asking::connect(self.address)?;
            while let Some(target) = targets.get(next.fetch_add(1, Ordering::Relaxed)) {
                let metrics = asking.get(&format!("/probe?module={module}&target={target}"))?;
                let is_well = metrics.lines().any(|line| line == "probe_success 1");
                succeeded.fetch_add(is_well.into(), Ordering::Relaxed);
            }
            Ok(())
        };
        thread::scope(|scope| {
            let asking: Vec<_> = (0..parallel).map(|_| scope.spawn(ask)).collect();
            asking
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or_else(|_| bail!("a thread that asks panicked")))
        })?;
        let wall = begun.elapsed().as_secs_f64();
        let cost = Cost {
            cpu: procfs::processor_seconds(id)? - before,
            wall,
            memory: procfs::status_megabytes(id, "VmHWM:")?,
            ratio: 0.0,
        };
        let sent = targets.len() as u64;
        let lost = sent - succeeded.into_inner();
        Ok((cost, Some(Told { sent, lost })))
    }
}

/// The address in `… msg="Listening on" address=127.0.0.1:9115`.
fn listens(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("Listening on")?;
    let (_, address) = rest.split_once("address=")?;
    address.split_whitespace().next()?.parse().ok()
}

/// A connection on which one request follows another.
struct Asking {
    stream: BufReader<TcpStream>,
}

impl Asking {
    fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).context("could not connect to the exporter")?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    fn get(&mut self, path: &str) -> Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: exporter\r\n\r\n");
        let asked = self.stream.get_mut().write_all(request.as_bytes());
        asked.context("could not ask the exporter")?;
        read(&mut self.stream).with_context(|| format!("the exporter did not answer {path}"))
    }
}

/// The body of an answer of 200: of a length that is told, or in pieces.
fn read(stream: &mut impl BufRead) -> Result<String> {
    let status = line(stream)?;
    ensure!(status.starts_with("HTTP/1.1 200 "), "it said {status:?}");
    let mut length = None;
    loop {
        let header = line(stream)?.to_ascii_lowercase();
        match header.split_once(':') {
            Some(("content-length", value)) => length = Some(value.trim().parse()?),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = Vec::new();
    if let Some(length) = length {
        stream.take(length).read_to_end(&mut body)?;
    } else {
        loop {
            let size = u64::from_str_radix(&line(stream)?, 16).context("the length of a piece is no number")?;
            stream.take(size).read_to_end(&mut body)?;
            line(stream)?;
            if size == 0 {
                break;
            }
        }
    }
    String::from_utf8(body).context("it is not text")
}

fn line(stream: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    ensure!(stream.read_line(&mut line)? > 0, "it hung up");
    Ok(line.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_it_listens_is_found_among_what_it_says() {
        let said = "ts=1 caller=tls_config.go:232 level=info msg=\"Listening on\" address=127.0.0.1:34227";
        assert_eq!(listens(said), Some("127.0.0.1:34227".parse().unwrap()));
        assert_eq!(
            listens("msg=\"TLS is disabled.\" http2=false address=127.0.0.1:1"),
            None
        );
    }

    #[test]
    fn answers_of_a_length_and_in_pieces_are_read_and_nothing_behind_them() {
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        let pieces = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        let mut both = [whole, pieces, whole].concat();
        both.push_str("HTTP/1.1 400 Bad Request\r\n\r\n");
        let mut stream = both.as_bytes();
        for _ in 0..3 {
            assert_eq!(read(&mut stream).unwrap(), "abc");
        }
        assert!(read(&mut stream).unwrap_err().to_string().contains("400"));
    }
}
