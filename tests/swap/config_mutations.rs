//! Broken configurations, made of a good one by one mistake each: the kind of the mistake and its place are drawn.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// A configuration with a mistake.
#[derive(Debug)]
pub(crate) struct Mutation {
    /// The mistake.
    pub(crate) mistake: String,
    /// The text, which need not be text.
    pub(crate) bytes: Vec<u8>,
    /// Whether the text alone shows it; otherwise only a daemon that runs can tell.
    pub(crate) shows: bool,
}

/// A line of the configuration that sets a key.
struct Line<'t> {
    number: usize,
    key: &'t str,
    value: &'t str,
}

/// The lines that set a key.
fn settings(good: &str) -> Vec<Line<'_>> {
    let lines = good.lines().enumerate();
    lines.filter_map(|(number, line)| line.split_once(" = ").map(|(key, value)| Line { number, key, value })).collect()
}

/// So many mistakes in a configuration, each kind as often as any other. Keys stand one a line, values end on theirs.
pub(crate) fn mutations(good: &str, count: usize, seed: u64) -> Vec<Mutation> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..count).map(|n| mutation(good, n, &mut random)).collect()
}

fn mutation(good: &str, n: usize, random: &mut StdRng) -> Mutation {
    let settings = settings(good);
    let line = &settings[random.random_range(0..settings.len())];
    let with = |number: usize, text: &str| {
        let lines = good.lines().enumerate();
        let lines: Vec<_> = lines.map(|(at, line)| if at == number { text } else { line }).collect();
        lines.join("\n") + "\n"
    };
    let place = line.number + 1;
    let (mistake, text) = match n % 12 {
        0 => (format!("misspelt key in line {place}"), with(line.number, &format!("{}z = {}", line.key, line.value))),
        1 => (
            format!("value of another type in line {place}"),
            with(line.number, &format!("{} = {{ wrong = true }}", line.key)),
        ),
        2 => {
            let twice = format!("{0} = {1}\n{0} = {1}", line.key, line.value);
            (format!("key twice in line {place}"), with(line.number, &twice))
        }
        3 => return cut(good, random),
        4 => (
            format!("garbage before line {place}"),
            with(line.number, &format!("]]=[[\n{} = {}", line.key, line.value)),
        ),
        5 => return not_text(good, random),
        6 => return without_unit(good, random),
        7..12 => return added(good, n, random),
        _ => unreachable!("the rest of a division by 12"),
    };
    Mutation { mistake, bytes: text.into_bytes(), shows: true }
}

/// The text up to somewhere in a quoted value.
fn cut(good: &str, random: &mut StdRng) -> Mutation {
    let quotes: Vec<_> = good.match_indices('"').map(|(at, _)| at).step_by(2).collect();
    let at = quotes[random.random_range(0..quotes.len())] + 1;
    Mutation { mistake: format!("cut after {at} bytes"), bytes: good.as_bytes()[..at].to_vec(), shows: true }
}

fn not_text(good: &str, random: &mut StdRng) -> Mutation {
    let mut bytes = good.as_bytes().to_vec();
    let at = random.random_range(0..bytes.len());
    bytes.insert(at, 0xff);
    Mutation { mistake: format!("no UTF-8 at byte {at}"), bytes, shows: true }
}

/// A size or a time whose unit does not exist.
fn without_unit(good: &str, random: &mut StdRng) -> Mutation {
    let units = ["ms\"", "s\"", " MiB\"", " KiB\""];
    let places: Vec<_> = units
        .iter()
        .flat_map(|unit| good.match_indices(unit))
        .filter(|(at, _)| good.as_bytes()[at - 1].is_ascii_digit())
        .collect();
    let (at, unit) = places[random.random_range(0..places.len())];
    let text = format!("{} bananas\"{}", &good[..at], &good[at + unit.len()..]);
    Mutation { mistake: format!("unknown unit at byte {at}"), bytes: text.into_bytes(), shows: true }
}

/// Something at the end that does not belong there, or one setting that only a fresh daemon can have.
fn added(good: &str, n: usize, random: &mut StdRng) -> Mutation {
    let name = format!("extra{}", random.random_range(0..1_000));
    let tail = |text: String| format!("{good}{text}");
    let hidden = n % 12 >= 10;
    let (mistake, text) = match (n % 12, n / 12 % 3) {
        (7, 0) => ("unknown section", tail(format!("[modulez.{name}]\npath = \"plain.wasm\"\n"))),
        (7, 1) => ("link to nobody", tail(format!("[modules.{name}]\npath = \"plain.wasm\"\nlinks = [\"nobody\"]\n"))),
        (7, _) => ("name that is none", tail(format!("[modules.\"{name} !\"]\npath = \"plain.wasm\"\n"))),
        (8, 0) => ("module without a path", tail(format!("[modules.{name}]\n"))),
        (8, 1) => ("group of nobody", tail(format!("[groups.{name}]\nmembers = [\"nobody\"]\n"))),
        (8, _) => ("binding without a type", tail(format!("[bindings.{name}]\n"))),
        (9, 0) => ("open header", tail(format!("[modules.{name}\npath = \"plain.wasm\"\n"))),
        (9, 1) => {
            ("too many instances", tail(format!("[modules.{name}]\npath = \"plain.wasm\"\ninstances = 200000\n")))
        }
        (9, _) => ("no instance", tail(format!("[modules.{name}]\npath = \"plain.wasm\"\ninstances = 0\n"))),
        (10, 0) => ("module whose file is missing", tail(format!("[modules.{name}]\npath = \"missing.wasm\"\n"))),
        (10, 1) => ("module whose file is no module", tail(format!("[modules.{name}]\npath = \"prose.wasm\"\n"))),
        (10, _) => (
            "module that needs more than it may have",
            tail(format!("[modules.{name}]\npath = \"plain.wasm\"\nlimits = {{ memory = \"64 KiB\" }}\n")),
        ),
        (_, 0) => ("other number of workers", good.replace("workers = 2", "workers = 3")),
        (_, 1) => ("other state directory", good.replace("state_dir = \"state\"", "state_dir = \"elsewhere\"")),
        _ => ("other stack", good.replace("guest_stack = \"512 KiB\"", "guest_stack = \"1 MiB\"")),
    };
    assert_ne!(text, good, "{mistake}");
    Mutation { mistake: format!("{mistake} ({name})"), bytes: text.into_bytes(), shows: !hidden }
}

/// A configuration with something of everything: the good one.
pub(crate) fn rich() -> String {
    let own = "[daemon]\nstate_dir = \"state\"\nruntime_dir = \"run\"\nworkers = 2\nshutdown_grace = \"5s\"\n\
        guest_stack = \"512 KiB\"\nqueue_bytes = \"64 MiB\"\n\
        [logging]\nlevel = \"info\"\n\
        [watch]\nsettle = \"50ms\"\nmode = \"off\"\n\
        [defaults.limits]\ncall_timeout = \"5s\"\nmemory = \"16 MiB\"\n\
        [defaults.restart]\nintensity = 7\nperiod = \"20s\"\n";
    let bindings = "[bindings.store]\ntype = \"keyvalue\"\nbackend = \"memory\"\nmax_bytes = \"1 MiB\"\n\
        [bindings.cache]\ntype = \"keyvalue\"\nhealth = { interval = \"5s\" }\n";
    let modules = "[modules.plain]\npath = \"plain.wasm\"\nlinks = [\"store\", \"log\"]\n\
        [modules.careful]\npath = \"plain.wasm\"\ninstances = 2\nqueue = 100\nqueue_timeout = \"2s\"\non_full = \"wait\"\n\
        limits = { payload = \"1 MiB\" }\nhealth = { operation = \"build\", interval = \"10s\" }\n\
        [modules.careful.restart]\nintensity = 3\nbackoff = { initial = \"10ms\", max = \"1s\" }\n\
        [modules.careful.swap]\nprobe = { operation = \"probe\", expect = \"well\" }\n\
        probation = \"30s\"\nmax_failures = 2\nexport = \"export\"\nimport = \"import\"\n\
        [modules.member]\npath = \"plain.wasm\"\n\
        [groups.pair]\nmembers = [\"member\"]\nstrategy = \"one_for_all\"\nintensity = 4\nperiod = \"10s\"\n";
    format!("{own}{bindings}{modules}")
}
