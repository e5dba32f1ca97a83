//! Whether it is the records that are at fault, or the server.
//!
//! A server that answers 400 to a record may be right. A server that answers 400 to every record is another one than
//! the agent was set up for, or something between answers in its place; to believe it would mark everything as refused.
//! So a record that was refused by a failed request is kept until the server has taken another one in the same round.
//! A few that are left alone at a round's end are given up, too, where the server took records a moment before: rounds
//! end at a scan's end and at a stop, and what was taken just before that counts.

use super::batch::Batch;

/// After so many records were refused one by one and none was accepted, the server is not believed.
const MOST: usize = 64;

/// The same where the round before ended that way: the records at the head are those of last time.
const MOST_AGAIN: usize = 4;

/// A record refused by the answer to a request that carried nothing else.
#[derive(Debug)]
pub(super) struct Suspect {
    pub(super) batch: Batch,
    pub(super) code: String,
    pub(super) detail: String,
}

/// What a round knows of the server's judgement.
#[derive(Debug)]
pub(super) struct Doubt {
    suspects: Vec<Suspect>,
    is_trusted: bool,
    most: usize,
}

impl Doubt {
    /// `was_doubted`: the round before ended because everything was refused.
    pub(super) fn new(was_doubted: bool) -> Self {
        Self {
            suspects: Vec::new(),
            is_trusted: false,
            most: if was_doubted { MOST_AGAIN } else { MOST },
        }
    }

    /// The server took something: it is the right one, and what it refused it meant. Gives what was kept till now.
    pub(super) fn accepted(&mut self) -> Vec<Suspect> {
        self.is_trusted = true;
        std::mem::take(&mut self.suspects)
    }

    /// Keeps the suspect, or gives it back where the server is trusted.
    pub(super) fn refused(&mut self, suspect: Suspect) -> Option<Suspect> {
        if self.is_trusted {
            return Some(suspect);
        }
        self.suspects.push(suspect);
        None
    }

    /// Gives what was kept, where that is little, to a server that took records a moment ago.
    pub(super) fn given_up(&mut self) -> Vec<Suspect> {
        match self.suspects.len() {
            0..=MOST_AGAIN => std::mem::take(&mut self.suspects),
            _ => Vec::new(),
        }
    }

    /// Records kept.
    pub(super) fn kept(&self) -> usize {
        self.suspects.len()
    }

    /// The reason of the first record kept.
    pub(super) fn first_reason(&self) -> Option<&str> {
        self.suspects.first().map(|suspect| suspect.detail.as_str())
    }

    /// So many were refused that it is not the records.
    pub(super) fn is_hopeless(&self) -> bool {
        self.suspects.len() >= self.most
    }
}
