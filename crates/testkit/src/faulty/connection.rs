//! One connection through the proxy: one request, and the fault of the moment.
use super::{
    fault::Fault,
    message::{Head, answer, refusal},
};
use crate::Certified;
use anyhow::{Context, Result};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time,
};
use tokio_rustls::TlsAcceptor;

/// What a connection needs to know.
pub(super) struct Connection {
    pub(super) fault: Fault,
    pub(super) server: Option<SocketAddr>,
    pub(super) tls: Option<Certified>,
}

impl Connection {
    pub(super) async fn serve(self, stream: TcpStream) -> Result<()> {
        if matches!(self.fault, Fault::Reset | Fault::Refuse) {
            return stream.set_zero_linger().context("could not reset a connection");
        }
        let shown = match &self.fault {
            Fault::Certificate(certified) => self.tls.as_ref().map(|_| certified),
            _ => self.tls.as_ref(),
        };
        let Some(shown) = shown else {
            return self.exchange(stream).await;
        };
        let stream = TlsAcceptor::from(config(shown)?)
            .accept(stream)
            .await
            .context("no handshake")?;
        self.exchange(stream).await
    }

    async fn exchange(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
        let Some(mut head) = Head::read(&mut stream).await? else {
            return Ok(());
        };
        let most = match self.fault {
            Fault::CutRequest(bytes) => bytes,
            _ => usize::MAX,
        };
        let body = head.body(&mut stream, most).await?;
        let said = match &self.fault {
            Fault::Hang => {
                // Until the client has had enough.
                while stream.read(&mut [0; 64]).await? > 0 {}
                return Ok(());
            }
            Fault::CutRequest(_) => {
                let mut server = self.connect().await?;
                server.write_all(&[head.to_server(), body].concat()).await?;
                return Ok(());
            }
            Fault::CutResponse(bytes) => {
                let mut said = self.ask(&head, &body).await?;
                said.truncate(*bytes);
                stream.write_all(&said).await?;
                stream.flush().await?;
                return Ok(());
            }
            Fault::Status {
                code,
                retry_after,
                body,
            } => {
                let headers = retry_after.as_ref().map(|wait| format!("retry-after: {wait}\r\n"));
                answer(*code, &headers.unwrap_or_default(), "application/problem+json", body)
            }
            Fault::RejectRecord(is_it) if head.records(&body).paths.iter().any(|path| is_it(path)) => {
                refusal(400, "invalid_request")
            }
            Fault::TooLarge(records) if head.records(&body).count > *records => refusal(413, "payload_too_large"),
            Fault::NotHttp => b"220 mail.example.org ESMTP\r\n".to_vec(),
            Fault::Html => answer(200, "", "text/html", "<!doctype html><title>Sign in</title>"),
            Fault::Redirect(to) => answer(307, &format!("location: {to}\r\n"), "text/plain", ""),
            Fault::Delay(wait) => {
                time::sleep(*wait).await;
                self.ask(&head, &body).await?
            }
            _ => self.ask(&head, &body).await?,
        };
        stream.write_all(&said).await?;
        // With TLS this says that the answer is complete.
        stream.shutdown().await.ok();
        Ok(())
    }

    async fn connect(&self) -> Result<TcpStream> {
        let server = self.server.context("the faulty proxy has no server behind it")?;
        TcpStream::connect(server)
            .await
            .with_context(|| format!("no connection to the server at {server}"))
    }

    /// The server's whole answer.
    async fn ask(&self, head: &Head, body: &[u8]) -> Result<Vec<u8>> {
        let Ok(mut server) = self.connect().await else {
            return Ok(answer(502, "", "text/plain", "no server behind the proxy"));
        };
        server.write_all(&head.to_server()).await?;
        server.write_all(body).await?;
        let mut said = Vec::new();
        server.read_to_end(&mut said).await?;
        Ok(said)
    }
}

fn config(shown: &Certified) -> Result<Arc<ServerConfig>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&shown.certificate)?.collect();
    let key = PrivateKeyDer::from_pem_file(&shown.key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain?, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
