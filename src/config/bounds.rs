//! The least and the greatest value of every number, size and time, each with the reason for it.
//!
//! Bounds catch mistakes (a unit too large, a digit too many), they are not recommendations.

use std::{ops::RangeInclusive, time::Duration};

use super::size::{GIB, KIB, MIB, TIB};

/// A day: longer waits than this are a mistaken unit wherever a caller or an operator waits.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The shortest time that timers tell apart.
const TICK: Duration = Duration::from_millis(1);

/// Threads. More than this is more than any machine has cores; each costs a stack and a pool share.
pub(super) const WORKERS: RangeInclusive<u32> = 1..=1024;
/// None, for those who want a stop at once, to an hour, which is longer than any service manager waits.
pub(super) const SHUTDOWN_GRACE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60 * 60);
/// Below one wasm page small recursive functions fail; every live instance reserves so much, so 64 MiB is plenty.
pub(super) const GUEST_STACK: RangeInclusive<u64> = (64 * KIB)..=(64 * MIB);
/// One byte still lets empty payloads wait; nobody queues a terabyte in memory on purpose.
pub(super) const QUEUE_BYTES: RangeInclusive<u64> = 1..=TIB;
/// None turns the cache off; a terabyte is more code than anybody has.
pub(super) const CODE_CACHE: RangeInclusive<u64> = 0..=TIB;
/// Permission bits without set-id and sticky bits, which mean nothing on a socket.
pub(super) const SOCKET_MODE: RangeInclusive<u32> = 0..=0o777;
/// What a socket's address can hold on Linux: `sun_path` is 108 bytes with its final NUL.
pub(super) const SOCKET_PATH_BYTES: usize = 107;

/// From a file that is hardly more than a header to one that compiles for minutes.
pub(super) const MODULE_SIZE: RangeInclusive<u64> = KIB..=GIB;
/// From one wasm page to all that a 32-bit guest can address. Other sizes are rounded down to whole pages by the guest's growth.
pub(super) const MEMORY: RangeInclusive<u64> = (64 * KIB)..=(4 * GIB);
/// Guests without function pointers need no table; an element costs the host a pointer.
pub(super) const TABLE_ELEMENTS: RangeInclusive<u32> = 0..=10_000_000;
/// From the shortest timer to a day.
pub(super) const CALL_TIMEOUT: RangeInclusive<Duration> = TICK..=DAY;
/// A payload is copied whole into the guest's 32-bit memory, beside which the guest needs room to work.
pub(super) const PAYLOAD: RangeInclusive<u64> = 1..=GIB;
/// As for payloads.
pub(super) const RESPONSE: RangeInclusive<u64> = 1..=GIB;

/// A module that may have none is not a module; 100,000 is ten times what was measured to start in a tenth of a second.
pub(super) const INSTANCES: RangeInclusive<u32> = 1..=100_000;
/// A queue without room would refuse every call that finds its instance busy; say `1` for nearly that.
pub(super) const QUEUE: RangeInclusive<u32> = 1..=10_000_000;
/// From the shortest timer to a day.
pub(super) const QUEUE_TIMEOUT: RangeInclusive<Duration> = TICK..=DAY;

/// Who wants no calls stops the module; more than ten million in the shortest period is no limit any more.
pub(super) const RATE_LIMIT_CALLS: RangeInclusive<u32> = 1..=10_000_000;
/// From the shortest timer to a day.
pub(super) const RATE_LIMIT_PER: RangeInclusive<Duration> = TICK..=DAY;
/// A burst of none would refuse every call; otherwise as for calls.
pub(super) const RATE_LIMIT_BURST: RangeInclusive<u32> = 1..=10_000_000;
/// From the shortest timer to an hour: a module that waits longer for a database is better seen as failed.
pub(super) const BINDING_WAIT: RangeInclusive<Duration> = TICK..=Duration::from_secs(60 * 60);
/// Who wants none says `"kill"`; an hour is longer than any service manager waits.
pub(super) const SHUTDOWN: RangeInclusive<Duration> = TICK..=Duration::from_secs(60 * 60);

/// The first failure is a failed start; who wants to go on for ever has `restart` for it, which waits longer each time.
pub(super) const ON_START_ATTEMPTS: RangeInclusive<u32> = 1..=1_000;
/// From the shortest timer to a day: a large database takes hours to be prepared.
pub(super) const HOOK_TIMEOUT: RangeInclusive<Duration> = TICK..=DAY;

/// A hundred checks a second are load and no longer a check; once a day is the least that can be called regular.
pub(super) const HEALTH_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(10)..=DAY;
/// From the shortest timer to the longest interval.
pub(super) const HEALTH_TIMEOUT: RangeInclusive<Duration> = TICK..=DAY;
/// Without a failed check nothing is unhealthy; a thousand in a row at the shortest interval are ten seconds.
pub(super) const HEALTH_FAILURES: RangeInclusive<u32> = 1..=1_000;

/// Groups within groups: a tree that a person still understands has a handful of levels, and what walks it may recurse.
pub(super) const GROUP_DEPTH: usize = 16;

/// None: the first failure ends the module. More than 10,000 restarts in a period is no limit any more.
pub(super) const INTENSITY: RangeInclusive<u32> = 0..=10_000;
/// From the shortest timer to a day.
pub(super) const PERIOD: RangeInclusive<Duration> = TICK..=DAY;
/// From the shortest timer to 30 days; who wants longer says `"never"`.
pub(super) const RETRY_FAILED: RangeInclusive<Duration> = TICK..=Duration::from_secs(30 * 24 * 60 * 60);
/// None, to start anew without a wait, to a day.
pub(super) const BACKOFF_INITIAL: RangeInclusive<Duration> = Duration::ZERO..=DAY;
/// None to a day.
pub(super) const BACKOFF_MAX: RangeInclusive<Duration> = Duration::ZERO..=DAY;
/// Below 1 waits would shrink; at 1,000 the second wait is already the longest.
pub(super) const BACKOFF_FACTOR: RangeInclusive<f64> = 1.0..=1000.0;
/// A share of the wait.
pub(super) const BACKOFF_JITTER: RangeInclusive<f64> = 0.0..=1.0;

/// From the shortest timer to a minute: a file that is still written after that is better renamed into place.
pub(super) const WATCH_SETTLE: RangeInclusive<Duration> = TICK..=Duration::from_secs(60);
/// Ten looks a second at a thousand files are load already; who looks once an hour only may as well ask for it.
pub(super) const WATCH_POLL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60 * 60);
/// Patterns of `include`, each of which lists a directory at every reload.
pub(super) const INCLUDES: usize = 100;
/// Files that are included: one for each of as many modules as were measured to start in a tenth of a second.
pub(super) const INCLUDED_FILES: usize = 10_000;
/// A module's table has some hundred lines with all its links; a mistaken file is not read to its end.
pub(super) const DROPPED_TEXT: u64 = MIB;
/// From the shortest timer to a day: the last good code stays in memory for so long.
pub(super) const PROBATION: RangeInclusive<Duration> = TICK..=DAY;
/// None: the first failure brings the old code back. As for restarts, more than 10,000 is no limit any more.
pub(super) const PROBATION_FAILURES: RangeInclusive<u32> = 0..=10_000;

/// From one small entry to a terabyte, which no machine of today gives to one map.
pub(super) const MEMORY_MAX_BYTES: RangeInclusive<u64> = KIB..=TIB;
/// None turns the cache off; otherwise as for maps.
pub(super) const KEYVALUE_CACHE: RangeInclusive<u64> = 0..=TIB;
/// Keys are compared on every step down the tree, so they stay short.
pub(super) const KEYVALUE_MAX_KEY: RangeInclusive<u64> = 1..=(64 * KIB);
/// A value crosses into the guest's memory as a payload does.
pub(super) const KEYVALUE_MAX_VALUE: RangeInclusive<u64> = 1..=GIB;
/// One call at a time is a choice, as for a database with one writer; a million is no limit any more.
pub(super) const BINDING_CONCURRENT: RangeInclusive<u32> = 1..=1_000_000;
/// None: what cannot be done at once is refused. Otherwise as for calls at once.
pub(super) const BINDING_QUEUE: RangeInclusive<u32> = 0..=1_000_000;
/// From the shortest timer to a day.
pub(super) const BINDING_TIMEOUT: RangeInclusive<Duration> = TICK..=DAY;
/// From the shortest timer to the time after which systems give up by themselves.
pub(super) const CONNECT_TIMEOUT: RangeInclusive<Duration> = TICK..=Duration::from_secs(2 * 60);
/// Servers count connections: PostgreSQL takes 100 by default, in all.
pub(super) const CONNECTIONS: RangeInclusive<u32> = 1..=1024;
/// Without a failure nothing is broken; a thousand in a row are no circuit any more.
pub(super) const CIRCUIT_FAILURES: RangeInclusive<u32> = 1..=1_000;
/// An object crosses into the guest's memory as a payload does.
pub(super) const BLOB_MAX_OBJECT: RangeInclusive<u64> = 1..=GIB;
/// An answer without rows is none; ten million rows fit in no guest.
pub(super) const SQL_MAX_ROWS: RangeInclusive<u32> = 1..=10_000_000;
/// A subscriber without room would hear nothing.
pub(super) const MESSAGING_QUEUE: RangeInclusive<u32> = 1..=1_000_000;
/// A single message always has room; beyond 1 TiB it is a mistake.
pub(super) const MESSAGING_QUEUE_BYTES: RangeInclusive<u64> = 1..=TIB;
/// NATS takes 64 MiB at most.
pub(super) const MESSAGING_MAX_MESSAGE: RangeInclusive<u64> = 1..=(64 * MIB);
/// None: redirects are answers like others. Beyond twenty it is a loop.
pub(super) const HTTP_REDIRECTS: RangeInclusive<u32> = 0..=20;
/// One at a time is a choice, as for a host that is easily overrun; ten thousand are no limit any more.
pub(super) const HTTP_PER_HOST: RangeInclusive<u32> = 1..=10_000;
/// None: every request has a connection of its own.
pub(super) const HTTP_IDLE: RangeInclusive<u32> = 0..=10_000;
/// Prometheus suffers from a hundred thousand series of one process.
pub(super) const METRICS_SERIES: RangeInclusive<u32> = 1..=100_000;
/// From the shortest timer to five minutes: a program that starts for longer is not what a guest waits for.
pub(super) const PROCESS_START: RangeInclusive<Duration> = TICK..=Duration::from_secs(5 * 60);

/// A head has room for some headers; a mebibyte of them is an attack.
pub(super) const HTTP_HEAD: RangeInclusive<u64> = KIB..=MIB;
/// One connection is a choice; a million are more than a process has descriptors.
pub(super) const HTTP_CONNECTIONS: RangeInclusive<u32> = 1..=1_000_000;
/// From the shortest timer to a day.
pub(super) const HTTP_TIMEOUT: RangeInclusive<Duration> = TICK..=DAY;
/// What is an error in HTTP.
pub(super) const ROUTE_ERROR_STATUS: RangeInclusive<u32> = 400..=599;
/// None: a browser asks each time. Beyond a day browsers do not remember it.
pub(super) const CORS_MAX_AGE: RangeInclusive<Duration> = Duration::ZERO..=DAY;
/// From the shortest time between calls that a timer keeps to a year.
pub(super) const SCHEDULE_EVERY: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(365 * 24 * 60 * 60);
/// None to a day.
pub(super) const SCHEDULE_JITTER: RangeInclusive<Duration> = Duration::ZERO..=DAY;
/// One after the other is a choice; ten thousand calls fill any queue.
pub(super) const TRIGGER_CONCURRENCY: RangeInclusive<u32> = 1..=10_000;
/// Once is a choice; what failed a thousand times fails again.
pub(super) const TRIGGER_ATTEMPTS: RangeInclusive<u32> = 1..=1_000;
/// None to a day.
pub(super) const RETRY_DELAY: RangeInclusive<Duration> = Duration::ZERO..=DAY;
/// Below a second a busy machine delivers twice what is being worked on; beyond a day nobody waits for it.
pub(super) const ACK_WAIT: RangeInclusive<Duration> = Duration::from_secs(1)..=DAY;
