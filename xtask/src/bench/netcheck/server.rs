//! Whom all contenders check over TCP and HTTP: a thread of the bench, whose time counts for nobody.
use anyhow::{Context, Result};
use std::thread;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::{Builder, Runtime},
    sync::oneshot,
};

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n";

/// One that runs in a thread; it ends with this.
pub(super) struct Server {
    pub(super) port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Server {
    pub(super) fn start() -> Result<Self> {
        let runtime = runtime()?;
        let listener = runtime.block_on(async { listen() })?;
        let port = listener.local_addr()?.port();
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(&listener) => {}
                    _ = stopped => {}
                }
            });
        };
        Ok(Self {
            port,
            stop: Some(stop),
            thread: Some(thread::spawn(serve)),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            eprintln!("the server of the measurement panicked");
        }
    }
}

pub(super) fn runtime() -> Result<Runtime> {
    let built = Builder::new_current_thread().enable_all().build();
    built.context("could not start a runtime")
}

/// At every address of the loopback, and nowhere else; the queue is long, so that nothing waits for it.
fn listen() -> Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    #[cfg(target_os = "linux")]
    socket
        .bind_device(Some(b"lo"))
        .context("could not keep the server to the loopback")?;
    socket.bind(([0, 0, 0, 0], 0).into())?;
    socket.listen(4096).context("could not listen")
}

/// One after another: whoever connects has said what he has to say, or hangs up.
async fn serve(listener: &TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        // Who hangs up before the answer is there has only wanted to connect.
        answer(stream).await.ok();
    }
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let (mut head, mut part) = (Vec::new(), [0; 2048]);
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut part).await? {
            0 => return Ok(()),
            read => head.extend_from_slice(&part[..read]),
        }
    }
    stream.write_all(ANSWER).await
}
