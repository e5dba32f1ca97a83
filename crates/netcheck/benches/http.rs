//! What a check of HTTP costs this process, in time of the processor: connection, request, answer and all; and what the same
//! bytes cost by bare system calls, of which most is the kernel's.
//!
//! The server is a thread of its own on loopback, and what it takes is not counted. `cargo bench -p netcheck --bench http`;
//! without `--bench` (as `cargo test` runs it) it does a few checks, to see that it works.
use netcheck::http::{HttpOptions, check};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};
use std::{
    error::Error,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    thread,
};

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n";

/// Answers so many requests, one after another.
fn serve(listener: &TcpListener, count: usize) -> std::io::Result<()> {
    for _ in 0..count {
        let (mut stream, _) = listener.accept()?;
        let (mut head, mut part) = (Vec::new(), [0; 1024]);
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut part)? {
                0 => break,
                read => head.extend_from_slice(&part[..read]),
            }
        }
        stream.write_all(ANSWER)?;
    }
    Ok(())
}

/// The same as a check sends, on a bare socket.
fn ask(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let request = format!("GET / HTTP/1.1\r\nuser-agent: bare\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut part = [0; 8192];
    while stream.read(&mut part)? > 0 {}
    Ok(())
}

/// The time of the processor that this thread took, in the program and in the system, in microseconds.
fn taken() -> Result<i64, Box<dyn Error>> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    Ok((usage.user_time() + usage.system_time()).num_microseconds())
}

fn main() -> Result<(), Box<dyn Error>> {
    let count = if std::env::args().any(|arg| arg == "--bench") {
        5_000
    } else {
        20
    };
    let warm_up = count / 10;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let url = format!("http://{address}/");
    let server = thread::spawn(move || serve(&listener, 2 * count + warm_up));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let options = HttpOptions::default();
    runtime.block_on(async {
        let mut since = taken()?;
        for number in 0..count + warm_up {
            if number == warm_up {
                since = taken()?;
            }
            let report = check(&url, &options).await;
            if let Some(failure) = report.failure {
                return Err(failure.into());
            }
        }
        let each = (taken()? - since) as f64 / count as f64;
        let since = taken()?;
        for _ in 0..count {
            ask(address)?;
        }
        let bare = (taken()? - since) as f64 / count as f64;
        println!("HTTP/1.1 on loopback: {each:.1} µs of the processor for each of {count} checks, {bare:.1} µs bare");
        Ok::<(), Box<dyn Error>>(())
    })?;
    server.join().map_err(|_| "the server of the measurement panicked")??;
    Ok(())
}
