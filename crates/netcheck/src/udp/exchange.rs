//! One datagram and the answer to it.
use super::{Expect, Probe, ResponseCode, UdpOptions, UdpReport, dns, ntp};
use crate::{Failure, FailureKind, datagram::Datagrams};
use std::{net::SocketAddr, time::SystemTime};
use tokio::time::Instant;

/// How much of a reply is shown, in bytes.
const SHOWN: usize = 128;

/// What a datagram of the peer is.
enum Judged<'p> {
    /// The answer.
    Answer,
    /// An answer, with how a name server answered about what.
    Code(&'p str, ResponseCode),
    /// An answer, with what a time server said.
    Time(ntp::NtpReply),
    /// No answer to what was sent.
    Foreign,
}

/// Sends the probe once, and waits for the answer. Nothing but the counter changes by what is none.
pub(super) async fn once(
    report: &mut UdpReport,
    address: SocketAddr,
    options: &UdpOptions,
    buffer: &mut [u8],
) -> Result<(), Failure> {
    let mut datagrams = Datagrams::open(address, options.source)?;
    let before = report.foreign;
    report.local = Some(datagrams.local);
    let cookie = cookie()?;
    let sent = match &options.probe {
        Probe::Bytes { payload, .. } => payload.clone(),
        Probe::Dns { name } => dns::query(name, cookie as u16)?,
        Probe::Ntp => ntp::request(cookie).to_vec(),
        Probe::Echo { size } => random(*size)?,
    };
    let (clock, begun) = (SystemTime::now(), Instant::now());
    datagrams.send(&sent).await?;
    report.sent += 1;
    let deadline = begun + options.timeout;
    loop {
        let received = datagrams.receive(buffer, deadline).await;
        report.foreign = before + datagrams.foreign;
        let length = received?;
        let time = begun.elapsed();
        let Some(reply) = buffer.get(..length) else {
            let most = options.max_reply;
            let detail = format!("{address} sent {length} bytes, and {most} are taken at most");
            return Err(Failure::new(FailureKind::TooLarge, detail));
        };
        let judged = match &options.probe {
            Probe::Bytes { expect, .. } => expected(expect.as_ref(), reply, address).map(|()| Judged::Answer),
            Probe::Dns { name } => dns::judge(reply, &sent, address).map(|code| match code {
                Some(code) => Judged::Code(name, code),
                None => Judged::Foreign,
            }),
            Probe::Ntp => ntp::judge(reply, cookie, address, clock, time).map(|said| match said {
                Some(said) => Judged::Time(said),
                None => Judged::Foreign,
            }),
            Probe::Echo { .. } if reply == sent => Ok(Judged::Answer),
            Probe::Echo { .. } => Ok(Judged::Foreign),
        };
        if matches!(judged, Ok(Judged::Foreign)) {
            datagrams.foreign += 1;
            continue;
        }
        report.reply_size = Some(length);
        report.reply = Some(shown(reply));
        report.time = Some(time);
        return match judged? {
            Judged::Code(name, code) => {
                report.response_code = Some(code);
                dns::unfit(code, name, address).map_or(Ok(()), Err)
            }
            Judged::Time(said) => {
                let unfit = said.unfit(address);
                report.ntp = Some(said);
                unfit.map_or(Ok(()), Err)
            }
            Judged::Answer | Judged::Foreign => Ok(()),
        };
    }
}

fn expected(expect: Option<&Expect>, reply: &[u8], address: SocketAddr) -> Result<(), Failure> {
    let Some(expect) = expect.filter(|expect| !expect.is_met(reply)) else {
        return Ok(());
    };
    let detail = format!("{address} sent `{}`, which {expect}", shown(reply));
    Err(Failure::new(FailureKind::Unexpected, detail))
}

fn shown(reply: &[u8]) -> String {
    reply.get(..SHOWN).unwrap_or(reply).escape_ascii().to_string()
}

fn cookie() -> Result<u64, Failure> {
    getrandom::u64().map_err(|error| no_random(&error))
}

fn random(size: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = vec![0; size];
    getrandom::fill(&mut bytes).map_err(|error| no_random(&error))?;
    Ok(bytes)
}

fn no_random(error: &getrandom::Error) -> Failure {
    Failure::new(
        FailureKind::System,
        format!("this machine has no random numbers: {error}"),
    )
}
