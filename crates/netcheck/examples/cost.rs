//! What a TCP check costs in processor time: 10,000 addresses of the loopback, one after another, with the accepting side
//! in a process of its own, beside the same by bare system calls. `cargo run --release --example cost`.
use netcheck::tcp::{self, TcpOptions};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::{TimeVal, TimeValLike},
};
use std::{
    io::{BufRead, BufReader, Error, Result},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};
use tokio::net::TcpSocket;

const CHECKS: u32 = 10_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return serve().await;
    }
    let mut server = Command::new(std::env::current_exe()?)
        .arg("serve")
        .stdout(Stdio::piped())
        .spawn()?;
    let mut port = String::new();
    if let Some(stdout) = server.stdout.take() {
        BufReader::new(stdout).read_line(&mut port)?;
    }
    let measured = match port.trim().parse() {
        Ok(port) => measure(port).await,
        Err(error) => Err(Error::other(error)),
    };
    server.kill()?;
    server.wait()?;
    measured
}

async fn measure(port: u16) -> Result<()> {
    // Each has an address of its own, as targets have; the ports of one would soon be used up.
    let address = |network: u8, number: u32| {
        let [_, _, high, low] = number.to_be_bytes();
        SocketAddr::from((Ipv4Addr::new(127, network, high, low), port))
    };
    let targets: Vec<String> = (1..=CHECKS).map(|number| address(1, number).to_string()).collect();
    let options = TcpOptions::default();
    let begun = spent()?;
    for target in &targets {
        if let Some(failure) = tcp::check(target, &options).await.failure {
            return Err(Error::other(failure));
        }
    }
    let checked = spent()?;
    for number in 1..=CHECKS {
        drop(TcpStream::connect(address(2, number))?);
    }
    let ended = spent()?;
    let (check, bare) = ((checked - begun) / CHECKS, (ended - checked) / CHECKS);
    println!("{check:?} of processor time a check, {bare:?} a bare connection");
    Ok(())
}

/// Accepts at every address of the loopback. Its queue is long, so that nothing waits for it.
async fn serve() -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::UNSPECIFIED, 0).into())?;
    let listener = socket.listen(4096)?;
    println!("{}", listener.local_addr()?.port());
    loop {
        drop(listener.accept().await?);
    }
}

/// The processor time of this process until now.
fn spent() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let of = |time: TimeVal| Duration::from_micros(time.num_microseconds().unsigned_abs());
    Ok(of(usage.user_time()) + of(usage.system_time()))
}
