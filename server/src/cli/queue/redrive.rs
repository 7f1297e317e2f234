//! `ratel queue redrive`: bring dead letters home. The server does it, as a job that goes on
//! without this command; here it is begun, watched, cancelled and resumed.

use std::thread;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use ratel_protocol::messages::queue_admin_request::{
    ListRedrives, RedriveFilter, RedriveId, StartRedrive,
};
use ratel_protocol::messages::queue_admin_response::{
    REDRIVE_CANCELLED, REDRIVE_DONE, REDRIVE_FAILED, REDRIVE_RUNNING, RedriveJob,
};
use ratel_protocol::messages::{GroupId, QueueAdminRequest, TopicName};
use serde_json::json;

use super::super::Failure;
use super::super::client::{Client, ServerFlags, text};
use super::super::output::List;
use super::ask;
use super::progress::Progress;
use crate::clock::{Clock, SystemClock};

/// How often a job is looked at while it is watched.
const WATCH_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("task").required(true))]
#[command(after_help = "\
Examples:
  ratel queue redrive jobs --all --dry-run   how many would come home
  ratel queue redrive jobs --at 0:17         one, by its dead letter's place
  ratel queue redrive jobs --reason limit --since 1h --rate 100
  ratel queue redrive --jobs                 under way, or ended lately
  ratel queue redrive --cancel 3             then --resume 3 goes on from there")]
pub(in crate::cli) struct Redrive {
    /// The queue whose dead letters come home
    #[arg(group = "task")]
    queue: Option<String>,
    /// The most records in a second; as fast as may be without it
    #[arg(long, requires = "queue", value_name = "RECORDS")]
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    rate: Option<i32>,
    /// Count what would come home, and move nothing
    #[arg(long, requires = "queue")]
    dry_run: bool,
    /// List the jobs that are there, and those that ended lately
    #[arg(long, group = "task")]
    jobs: bool,
    /// Stop a job. What it brought home stays there
    #[arg(long, group = "task", value_name = "JOB")]
    cancel: Option<i64>,
    /// Go on with a job that was cancelled or failed, where it stopped
    #[arg(long, group = "task", value_name = "JOB")]
    resume: Option<i64>,
    /// Watch a job until it ends
    #[arg(long, group = "task", value_name = "JOB")]
    watch: Option<i64>,
    /// Do not wait for the end
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    server: ServerFlags,
    // Last, as its heading holds for all that follows.
    #[command(flatten)]
    which: Which,
}

/// Which dead letters: those that match all that is given.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which dead letters")]
#[group(id = "which", multiple = true, conflicts_with_all = ["jobs", "cancel", "resume", "watch"])]
struct Which {
    /// All of them
    #[arg(long, requires = "queue")]
    all: bool,
    /// The one at this place of the dead-letter topic
    #[arg(long, requires = "queue", value_name = "PARTITION:OFFSET", value_parser = parse_place)]
    at: Option<(i32, i64)>,
    /// From this topic
    #[arg(long, requires = "queue", value_name = "TOPIC")]
    topic: Option<String>,
    /// From this partition
    #[arg(long, requires = "topic", value_name = "NUMBER")]
    partition: Option<i32>,
    /// From this offset, or these: FIRST..LAST
    #[arg(long, requires = "partition", value_name = "OFFSETS", value_parser = parse_offsets)]
    offsets: Option<(i64, i64)>,
    /// Given up for this reason
    #[arg(long, requires = "queue")]
    reason: Option<Reason>,
    /// Given up at this time or later: an age like 90s, 15m, 2h or 7d, or ms since 1970
    #[arg(long, requires = "queue", value_name = "TIME", value_parser = parse_time)]
    since: Option<Time>,
    /// Given up at this time or earlier
    #[arg(long, requires = "queue", value_name = "TIME", value_parser = parse_time)]
    until: Option<Time>,
    /// With this key
    #[arg(long, requires = "queue")]
    key: Option<String>,
    /// With this header, or with this value of it
    #[arg(long, requires = "queue", value_name = "NAME[=VALUE]")]
    header: Option<String>,
}

/// Why a record was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Reason {
    /// A worker rejected it
    Rejected,
    /// It was delivered as often as it may be
    Limit,
}

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    /// So many ms ago.
    Ago(i64),
    /// So many ms after the beginning of 1970.
    At(i64),
}

impl Time {
    /// In ms since 1970.
    fn at(self, now_ms: i64) -> i64 {
        match self {
            Self::Ago(ms) => now_ms.saturating_sub(ms),
            Self::At(ms) => ms,
        }
    }
}

fn parse_place(text: &str) -> Result<(i32, i64), String> {
    let place = || {
        let (partition, offset) = text.split_once(':')?;
        let place = (partition.parse().ok()?, offset.parse().ok()?);
        (place.0 >= 0 && place.1 >= 0).then_some(place)
    };
    place().ok_or_else(|| "give it as PARTITION:OFFSET".to_owned())
}

fn parse_offsets(text: &str) -> Result<(i64, i64), String> {
    let offsets = || {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let offsets: (i64, i64) = (first.parse().ok()?, last.parse().ok()?);
        (0 <= offsets.0 && offsets.0 <= offsets.1).then_some(offsets)
    };
    offsets().ok_or_else(|| "give one offset, or FIRST..LAST".to_owned())
}

fn parse_time(text: &str) -> Result<Time, String> {
    let time = || {
        let unit_ms = match text.chars().last()? {
            's' => 1000,
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            _ => return text.parse().ok().filter(|ms| *ms >= 0).map(Time::At),
        };
        let count: i64 = text[..text.len() - 1].parse().ok()?;
        let ago = count.checked_mul(unit_ms).filter(|ms| *ms >= 0);
        ago.map(Time::Ago)
    };
    time().ok_or_else(|| "give an age like 90s, 15m, 2h or 7d, or ms since 1970".to_owned())
}

impl Which {
    /// What is asked for at the time `now_ms`, if anything is.
    fn filter(&self, now_ms: i64) -> Option<RedriveFilter> {
        let all = RedriveFilter::default();
        let mut filter = all.clone();
        if let Some((partition, offset)) = self.at {
            filter.dead_partition = partition;
            filter.dead_offset = offset;
        }
        filter.topic_name = self.topic.as_deref().map(|topic| TopicName(text(topic)));
        filter.partition = self.partition.unwrap_or(all.partition);
        let (first, last) = self.offsets.unwrap_or((all.first_offset, all.last_offset));
        filter.first_offset = first;
        filter.last_offset = last;
        filter.reason = match self.reason {
            None => all.reason,
            Some(Reason::Rejected) => 0,
            Some(Reason::Limit) => 1,
        };
        filter.from_ms = self.since.map_or(all.from_ms, |time| time.at(now_ms));
        filter.to_ms = self.until.map_or(all.to_ms, |time| time.at(now_ms));
        filter.key = self.key.clone().map(Bytes::from);
        if let Some(header) = &self.header {
            let (name, value) = match header.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (header.as_str(), None),
            };
            filter.header_name = Some(text(name));
            filter.header_value = value.map(Bytes::from);
        }
        (self.all != (filter != all)).then_some(filter)
    }
}

pub(super) fn run(redrive: &Redrive) -> Result<(), Failure> {
    let request = QueueAdminRequest::default();
    let id = |job| Some(RedriveId::default().with_job_id(job));
    let (what, request) = if redrive.jobs {
        let all = ListRedrives::default();
        ("jobs".to_owned(), request.with_list_redrives(Some(all)))
    } else if let Some(job) = redrive.cancel {
        (format!("job {job}"), request.with_cancel_redrive(id(job)))
    } else if let Some(job) = redrive.resume {
        (format!("job {job}"), request.with_resume_redrive(id(job)))
    } else if let Some(job) = redrive.watch {
        (
            format!("job {job}"),
            request.with_list_redrives(Some(only(job))),
        )
    } else {
        let queue = redrive.queue.as_deref().unwrap_or_default();
        let start = start(redrive, queue)?;
        (queue.to_owned(), request.with_start_redrive(Some(start)))
    };
    let mut client = Client::connect(&redrive.server)?;
    let mut jobs = ask(&mut client, &what, &request)?.redrives;
    if jobs.is_empty() && !redrive.jobs {
        return Err(Failure::failed(format!(
            "{what}: the server tells of no job"
        )));
    }
    if !redrive.jobs && redrive.cancel.is_none() && !redrive.detach {
        jobs = vec![watch(&mut client, jobs.swap_remove(0))?];
    }
    report(&jobs, redrive)
}

fn only(job: i64) -> ListRedrives {
    ListRedrives::default().with_job_id(job)
}

fn start(redrive: &Redrive, queue: &str) -> Result<StartRedrive, Failure> {
    let now_ms = SystemClock::new().now().wall_ms;
    let filter = redrive.which.filter(now_ms).ok_or_else(|| {
        Failure::unusable("say which dead letters come home: --all, or what they have in common")
    })?;
    Ok(StartRedrive::default()
        .with_group_id(GroupId(text(queue)))
        .with_filter(filter)
        .with_rate(redrive.rate.unwrap_or(0))
        .with_dry_run(redrive.dry_run))
}

/// Look at a job until it ends.
fn watch(client: &mut Client, mut job: RedriveJob) -> Result<RedriveJob, Failure> {
    let id = job.job_id;
    let mut progress = Progress::new(&format!(
        "job {id} goes on in the server if this command ends; `--cancel {id}` stops it"
    ));
    while job.state == REDRIVE_RUNNING {
        progress.show(job.scanned, job.total, &came(&job));
        thread::sleep(WATCH_EVERY);
        let request = QueueAdminRequest::default().with_list_redrives(Some(only(id)));
        let found = ask(client, &format!("job {id}"), &request)?.redrives.pop();
        job = found.ok_or_else(|| Failure::failed(format!("the server forgot job {id}")))?;
    }
    progress.show(job.scanned, job.total, &came(&job));
    progress.end();
    Ok(job)
}

/// What came of a job until now.
fn came(job: &RedriveJob) -> String {
    if job.dry_run {
        return format!("{} match", job.matched);
    }
    match job.skipped {
        0 => format!("{} home", job.moved),
        skipped => format!("{} home, {skipped} skipped", job.moved),
    }
}

fn report(jobs: &[RedriveJob], redrive: &Redrive) -> Result<(), Failure> {
    let mut list = List::new(&[
        "job", "queue", "from", "state", "read", "of", "matched", "home", "skipped",
    ]);
    for job in jobs {
        list.row(vec![
            json!(job.job_id),
            json!(job.group_id.as_str()),
            json!(job.dead_letter_topic.as_str()),
            json!(state(job)),
            json!(job.scanned),
            json!(job.total),
            json!(job.matched),
            json!(job.moved),
            json!(job.skipped),
        ]);
    }
    list.print_or(redrive.server.output, "there are no redrives\n")?;
    match jobs {
        [job] if !redrive.jobs && (job.state == REDRIVE_FAILED || job.skipped > 0) => {
            let why = job.error_message.as_deref().unwrap_or("no reason is given");
            Err(Failure::failed(format!("job {}: {why}", job.job_id)))
        }
        _ => Ok(()),
    }
}

fn state(job: &RedriveJob) -> &'static str {
    match job.state {
        REDRIVE_RUNNING => "running",
        REDRIVE_DONE if job.dry_run => "dry run",
        REDRIVE_DONE => "done",
        REDRIVE_CANCELLED => "cancelled",
        REDRIVE_FAILED => "failed",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::{RedriveFilter, Time, parse_offsets, parse_place, parse_time};
    use crate::cli::Arguments;
    use crate::cli::Verb;
    use crate::cli::queue::QueueVerb;
    use clap::Parser;

    fn filter(arguments: &[&str]) -> Result<Option<RedriveFilter>, String> {
        let arguments = ["ratel", "queue", "redrive"].iter().chain(arguments);
        let parsed = Arguments::try_parse_from(arguments).map_err(|error| error.to_string())?;
        match parsed.verb {
            Verb::Queue(QueueVerb::Redrive(redrive)) => Ok(redrive.which.filter(1_000_000)),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn what_comes_home_is_said_and_never_guessed() {
        assert_eq!(filter(&["q"]), Ok(None), "neither all nor some");
        assert_eq!(filter(&["q", "--all"]), Ok(Some(RedriveFilter::default())));
        assert_eq!(filter(&["q", "--all", "--key", "k"]), Ok(None), "both");
        let some = filter(&[
            "q",
            "--topic=jobs",
            "--partition=2",
            "--offsets=5..9",
            "--reason=limit",
            "--since=60s",
            "--header=a=b=c",
        ]);
        let some = some.expect("it parses").expect("some");
        assert_eq!(
            some.topic_name.as_ref().map(|name| name.as_str()),
            Some("jobs")
        );
        assert_eq!((some.partition, some.reason), (2, 1));
        assert_eq!((some.first_offset, some.last_offset), (5, 9));
        assert_eq!((some.from_ms, some.to_ms), (940_000, i64::MAX));
        assert_eq!(some.header_name.as_deref(), Some("a"));
        assert_eq!(some.header_value.as_deref(), Some(&b"b=c"[..]));
    }

    #[test]
    fn a_redrive_is_one_task() {
        for unusable in [
            &[][..],
            &["q", "--jobs"],
            &["--cancel=1", "--resume=1"],
            &["--jobs", "--all"],
            &["q", "--offsets=5"],
            &["q", "--all", "--rate=0"],
        ] {
            assert!(filter(unusable).is_err(), "{unusable:?}");
        }
        for usable in [
            &["--jobs"][..],
            &["--cancel=1"],
            &["--resume=1"],
            &["--watch=1"],
        ] {
            assert_eq!(filter(usable), Ok(None), "{usable:?}");
        }
    }

    #[test]
    fn places_and_times_are_read_whole_or_not_at_all() {
        assert_eq!(parse_place("3:17"), Ok((3, 17)));
        assert_eq!(parse_offsets("3"), Ok((3, 3)));
        assert_eq!(parse_offsets("3..17"), Ok((3, 17)));
        assert_eq!(parse_time("15m"), Ok(Time::Ago(900_000)));
        assert_eq!(parse_time("1700000000000"), Ok(Time::At(1_700_000_000_000)));
        for wrong in ["", "3", "3:", ":3", "-1:0", "0:-1"] {
            assert!(parse_place(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "..", "3..2", "-1", "3..x"] {
            assert!(parse_offsets(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "h", "-2h", "-1", "2w", "9223372036854775807d", "2é"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
