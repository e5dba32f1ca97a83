//! One query and the answer to it, over UDP or TCP.
use super::{
    DnsOptions, PLAIN_SIZE,
    message::{Asked, Judged},
};
use crate::{Failure, FailureKind, datagram::Datagrams, tcp};
use std::{io, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};

/// What came of it.
pub(super) struct Exchanged {
    pub(super) judged: Result<Judged, Failure>,
    /// The length of what came.
    pub(super) size: Option<usize>,
    /// What came and was no answer.
    pub(super) foreign: u64,
}

impl Exchanged {
    const fn failed(failure: Failure) -> Self {
        Self {
            judged: Err(failure),
            size: None,
            foreign: 0,
        }
    }
}

/// In a datagram from a fresh port. What is no answer to it is counted, and waited on.
pub(super) async fn udp(server: SocketAddr, asked: &Asked, options: &DnsOptions, deadline: Instant) -> Exchanged {
    let mut datagrams = match Datagrams::open(server, options.source) {
        Ok(datagrams) => datagrams,
        Err(failure) => return Exchanged::failed(failure),
    };
    let mut buffer = vec![0; usize::from(asked.edns.unwrap_or(PLAIN_SIZE))];
    let mut size = None;
    let judged = async {
        datagrams.send(&asked.bytes).await?;
        loop {
            let length = datagrams.receive(&mut buffer, deadline).await?;
            let Some(reply) = buffer.get(..length) else {
                size = Some(length);
                let most = buffer.len();
                let detail = format!("{server} sent a datagram of {length} bytes, and was asked for {most} at most");
                return Err(Failure::new(FailureKind::TooLarge, detail));
            };
            let judged = asked.judge(reply);
            if !matches!(judged, Ok(Judged::Foreign)) {
                size = Some(length);
                return judged.map_err(|failure| by(server, &failure));
            }
            datagrams.foreign += 1;
        }
    };
    Exchanged {
        judged: judged.await,
        size,
        foreign: datagrams.foreign,
    }
}

/// In a connection of its own (RFC 7766).
pub(super) async fn tcp(server: SocketAddr, asked: &Asked, options: &DnsOptions, deadline: Instant) -> Exchanged {
    let opened = tcp::open(&server.to_string(), vec![server], options.source, deadline).await;
    let mut stream = match opened.map(|(_, stream)| stream) {
        Ok(stream) => stream,
        Err(failure) => return Exchanged::failed(failure),
    };
    let (mut size, mut foreign) = (None, 0);
    let judged = async {
        send(&mut stream, &asked.bytes)
            .await
            .map_err(|error| broken(server, &error))?;
        loop {
            let length = stream.read_u16().await.map_err(|error| broken(server, &error))?;
            if length > options.max_size {
                let most = options.max_size;
                let detail = format!("the answer of {server} has {length} bytes, and {most} are taken at most");
                return Err(Failure::new(FailureKind::TooLarge, detail));
            }
            let mut reply = vec![0; usize::from(length)];
            let read = stream.read_exact(&mut reply).await;
            read.map_err(|error| broken(server, &error))?;
            let judged = asked.judge(&reply);
            if !matches!(judged, Ok(Judged::Foreign)) {
                size = Some(reply.len());
                return judged.map_err(|failure| by(server, &failure));
            }
            foreign += 1;
        }
    };
    let judged = timeout_at(deadline, judged).await.unwrap_or_else(|_| {
        let detail = format!("{server} accepted a connection, and did not answer");
        Err(Failure::new(FailureKind::TimedOut, detail))
    });
    Exchanged { judged, size, foreign }
}

async fn send(stream: &mut TcpStream, query: &[u8]) -> io::Result<()> {
    // In one piece: some servers take only what comes at once.
    let length = u16::try_from(query.len()).map_err(io::Error::other)?.to_be_bytes();
    stream.write_all(&[&length, query].concat()).await
}

fn broken(server: SocketAddr, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            Failure::new(FailureKind::Closed, format!("{server} hung up before it had answered"))
        }
        _ => Failure::of_io(&format!("ask {server} over TCP"), error),
    }
}

fn by(server: SocketAddr, failure: &Failure) -> Failure {
    Failure::new(failure.kind, format!("{server}: {failure}"))
}
