//! `scanner query` and `scanner export`: files of the local state.
use crate::{
    cli::{QueryArgs, StateArgs},
    context::Context,
    known::{self, KnownFile},
    listing::{self, Listing},
    request,
};
use anyhow::Context as _;
use chrono::{DateTime, Utc};
use daemon_kit::Exit;
use globset::{GlobBuilder, GlobMatcher};

/// Every file.
pub(crate) fn export(context: &Context, args: &StateArgs) -> anyhow::Result<Exit> {
    let mut listing = Listing::new(context.output);
    known::files(context, args.state, &mut |file| listing.print(file))?;
    listing.end()?;
    Ok(Exit::Done)
}

/// The files that match.
pub(crate) fn run(context: &Context, args: &QueryArgs) -> anyhow::Result<Exit> {
    let wanted = Wanted::new(args, Utc::now())?;
    let mut listing = Listing::new(context.output);
    let mut left = args.limit.unwrap_or(usize::MAX);
    if left > 0 {
        known::files(context, args.state.state, &mut |file| {
            if !wanted.is(file) {
                return Ok(true);
            }
            left -= 1;
            Ok(listing.print(file)? && left > 0)
        })?;
    }
    listing.end()?;
    Ok(Exit::Done)
}

struct Wanted<'a> {
    args: &'a QueryArgs,
    name: Option<(GlobMatcher, bool)>,
    under: Option<Vec<u8>>,
    after_ns: Option<i64>,
    before_ns: Option<i64>,
}

impl<'a> Wanted<'a> {
    fn new(args: &'a QueryArgs, now: DateTime<Utc>) -> anyhow::Result<Self> {
        let glob = |text: &String| -> anyhow::Result<_> {
            let of_path = text.contains('/');
            let glob = GlobBuilder::new(text).literal_separator(of_path).build();
            Ok((
                glob.with_context(|| format!("`{text}` is no pattern"))?
                    .compile_matcher(),
                of_path,
            ))
        };
        let ago = |period: core_model::Period| (now - period.get()).timestamp_nanos_opt();
        let under = args.under.as_deref().map(request::absolute).transpose()?;
        Ok(Self {
            args,
            name: args.name.as_ref().map(glob).transpose()?,
            under: under.map(|path| path.into_os_string().into_encoded_bytes()),
            after_ns: args.newer.and_then(ago),
            before_ns: args.older.and_then(ago),
        })
    }

    fn is(&self, file: &KnownFile<'_>) -> bool {
        let entry = &file.entry;
        let matches = |(glob, of_path): &(GlobMatcher, bool)| {
            let text = String::from_utf8_lossy(if *of_path { file.path } else { file.name });
            glob.is_match(text.as_ref())
        };
        let lies_in = |dir: &Vec<u8>| {
            let rest = file.path.strip_prefix(dir.as_slice());
            rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/' || dir.ends_with(b"/"))
        };
        let kind = |mime: &String| listing::mime(file).is_some_and(|own| own.starts_with(mime.as_str()));
        self.args.min_size.is_none_or(|least| entry.size >= least.bytes())
            && self.args.max_size.is_none_or(|most| entry.size <= most.bytes())
            && self.after_ns.is_none_or(|after| entry.mtime_ns >= after)
            && self.before_ns.is_none_or(|before| entry.mtime_ns < before)
            && self.under.as_ref().is_none_or(lies_in)
            && self.args.mime.as_ref().is_none_or(kind)
            && self.name.as_ref().is_none_or(matches)
    }
}
