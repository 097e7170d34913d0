//! Ways in which a file changes: each ends in the right number of swaps soon after its last write, and no call is
//! ever answered from half a file.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    guest,
    harness::{eventually, pause_for},
    stage::{self, put},
    watched::{LastWrite, SETTLE, Stage},
};

/// Writes bytes in place in so many pieces with a pause between them, each as `write` does it.
fn in_pieces(bytes: &[u8], pieces: usize, pause: Duration, mut write: impl FnMut(&[u8])) {
    for piece in bytes.chunks(bytes.len().div_ceil(pieces)) {
        write(piece);
        pause_for(pause);
    }
}

#[test]
fn a_rename_over_the_file_is_one_swap() {
    let stage = Stage::plain();
    put(&stage.file(), guest::build(2));
    stage.assert_ends(2, 1..=1, &LastWrite::now());
}

#[test]
fn a_rewrite_in_place_is_one_swap() {
    let stage = Stage::plain();
    fs::write(stage.file(), guest::build(2)).unwrap();
    stage.assert_ends(2, 1..=1, &LastWrite::now());
}

#[test]
fn a_slow_writer_who_keeps_the_file_open_is_waited_for() {
    let stage = Stage::plain();
    let bytes = guest::build(2);
    let mut file = File::create(stage.file()).unwrap();
    // The pauses are longer than a file must rest, and the last one comes when only the data is missing.
    let data = guest::without_data(&bytes).len();
    in_pieces(&bytes[..data], 4, SETTLE * 2, |piece| file.write_all(piece).unwrap());
    file.write_all(&bytes[data..]).unwrap();
    drop(file);
    stage.assert_ends(2, 1..=1, &LastWrite::now());
}

#[test]
fn a_writer_who_closes_the_file_between_two_pieces_is_waited_for_as_long_as_it_does_not_rest() {
    // On a machine that keeps the writer waiting the file does rest: then once more.
    for _ in 0..20 {
        let stage = Stage::plain();
        let file = stage.file();
        fs::write(&file, b"").unwrap();
        let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
        in_pieces(&guest::build(2), 6, SETTLE / 8, |piece| {
            OpenOptions::new().append(true).open(&file).unwrap().write_all(piece).unwrap();
            longest = longest.max(last.elapsed());
            last = Instant::now();
        });
        if longest < SETTLE / 2 {
            return stage.assert_ends(2, 1..=1, &LastWrite::now());
        }
    }
    panic!("the machine is too busy for a writer that must be quick");
}

#[test]
fn a_symbolic_link_that_is_flipped_is_one_swap() {
    let stage = Stage::new("", |code| {
        fs::write(code.join("v1.wasm"), guest::build(1)).unwrap();
        fs::write(code.join("v2.wasm"), guest::build(2)).unwrap();
        symlink("v1.wasm", code.join("guest.wasm")).unwrap();
    });
    symlink("v2.wasm", stage.code().join("next")).unwrap();
    fs::rename(stage.code().join("next"), stage.file()).unwrap();
    stage.assert_ends(2, 1..=1, &LastWrite::now());
}

#[test]
fn a_file_behind_a_symbolic_link_that_changes_is_one_swap() {
    let stage = Stage::new("", |code| {
        fs::create_dir(code.join("elsewhere")).unwrap();
        fs::write(code.join("elsewhere/real.wasm"), guest::build(1)).unwrap();
        symlink("elsewhere/real.wasm", code.join("guest.wasm")).unwrap();
    });
    put(&stage.code().join("elsewhere/real.wasm"), guest::build(2));
    stage.assert_ends(2, 1..=1, &LastWrite::now());
}

#[test]
fn a_mounted_volume_that_flips_its_data_directory_is_one_swap() {
    let stage = Stage::new("", |code| {
        for (version, build) in [("..v1", 1), ("..v2", 2)] {
            fs::create_dir(code.join(version)).unwrap();
            fs::write(code.join(version).join("guest.wasm"), guest::build(build)).unwrap();
        }
        symlink("..v1", code.join("..data")).unwrap();
        symlink("..data/guest.wasm", code.join("guest.wasm")).unwrap();
    });
    symlink("..v2", stage.code().join("..data_tmp")).unwrap();
    fs::rename(stage.code().join("..data_tmp"), stage.code().join("..data")).unwrap();
    let write = LastWrite::now();
    // What follows in such a volume: the old directory goes.
    fs::remove_dir_all(stage.code().join("..v1")).unwrap();
    stage.assert_ends(2, 1..=1, &write);
}

#[test]
fn a_file_that_is_deleted_and_comes_back_is_one_swap() {
    let stage = Stage::plain();
    fs::remove_file(stage.file()).unwrap();
    pause_for(SETTLE / 4);
    fs::write(stage.file(), guest::build(2)).unwrap();
    stage.assert_ends(2, 1..=1, &LastWrite::now());
}

#[test]
fn a_file_that_is_gone_leaves_its_code_running_also_where_a_link_to_nothing_takes_its_place() {
    let stage = Stage::plain();
    fs::remove_file(stage.file()).unwrap();
    stage.daemon.log_line(&["module file is gone", "module watched"]);
    symlink("nothing-is-here.wasm", stage.file()).unwrap();
    pause_for(SETTLE * 2);
    assert_eq!(stage.told.failures(stage.before, "watched"), Vec::<String>::new());
    put(&stage.file(), guest::build(2));
    stage.assert_ends(2, 1..=1, &LastWrite::now());
}

#[test]
fn a_directory_that_is_replaced_with_its_file_is_one_swap() {
    let stage = Stage::plain();
    let (old, new) = (stage.code().with_extension("old"), stage.code().with_extension("new"));
    fs::create_dir(&new).unwrap();
    fs::write(new.join("guest.wasm"), guest::build(2)).unwrap();
    fs::rename(stage.code(), old).unwrap();
    fs::rename(new, stage.code()).unwrap();
    stage.assert_ends(2, 1..=1, &LastWrite::now());
}

#[test]
fn a_touch_other_permissions_and_a_second_name_are_no_swap() {
    let stage = Stage::plain();
    let file = OpenOptions::new().append(true).open(stage.file()).unwrap();
    file.set_modified(std::time::SystemTime::now()).unwrap();
    drop(file);
    fs::set_permissions(stage.file(), Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(stage.file(), stage.code().join("second.wasm")).unwrap();
    // The same bytes in another file.
    put(&stage.file(), guest::build(1));
    stage.assert_ends(1, 0..=0, &LastWrite::now());
}

#[test]
fn a_hard_link_to_another_file_in_place_of_the_file_is_one_swap() {
    let stage = Stage::plain();
    let (other, beside) = (stage.code().join("other.wasm"), stage.code().join("beside"));
    fs::write(&other, guest::build(2)).unwrap();
    fs::hard_link(&other, &beside).unwrap();
    fs::rename(beside, stage.file()).unwrap();
    stage.assert_ends(2, 1..=1, &LastWrite::now());
}

#[test]
fn of_two_quick_drops_the_last_one_runs() {
    let stage = Stage::plain();
    put(&stage.file(), guest::build(2));
    put(&stage.file(), guest::build(3));
    stage.assert_ends(3, 1..=2, &LastWrite::now());
}

#[test]
fn more_changes_than_the_kernel_tells_of_lose_none() {
    let stage = Stage::plain();
    let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse::<usize>().unwrap();
    stage.daemon.signal(Signal::STOP);
    // Each file is at least two events, its coming and its going, which the kernel does not merge.
    let noise = stage.code().join("noise");
    for _ in 0..=queue / 2 {
        File::create(&noise).unwrap();
        fs::remove_file(&noise).unwrap();
    }
    put(&stage.file(), guest::build(2));
    stage.daemon.signal(Signal::CONT);
    stage.assert_ends(2, 1..=1, &LastWrite::now());
}

#[test]
fn polling_alone_sees_every_change() {
    let stage =
        Stage::new("mode = \"poll\"\npoll = \"100ms\"\n", |code| put(&code.join("guest.wasm"), guest::build(1)));
    fs::write(stage.file(), guest::build(2)).unwrap();
    stage.told.wait_swapped(stage.before, "watched", &guest::sha256(&guest::build(2)));
    put(&stage.file(), guest::build(3));
    stage.assert_ends(3, 2..=2, &LastWrite::now());
}

#[test]
fn without_a_watch_a_file_is_read_when_its_module_starts() {
    let mut stage = Stage::new("mode = \"off\"\n", |code| put(&code.join("guest.wasm"), guest::build(1)));
    put(&stage.file(), guest::build(2));
    pause_for(SETTLE * 3);
    assert_eq!(stage.told.swaps(stage.before, "watched"), []);
    for answer in stage.callers.take().unwrap().end() {
        assert_eq!((answer.status, answer.text), (200, guest::name(1)));
    }
    stage.daemon.ctl(&["stop", "watched"]);
    stage.daemon.ctl(&["start", "watched"]);
    assert_eq!(stage::running_build(&stage.daemon, "watched"), guest::name(2));
}

#[test]
fn without_a_watch_a_reload_looks_at_the_files_of_modules() {
    let stage = Stage::new("mode = \"off\"\n", |code| put(&code.join("guest.wasm"), guest::build(1)));
    put(&stage.file(), guest::build(2));
    assert!(stage.daemon.ctl(&["reload", "--dry-run"]).contains("modules.watched"));
    assert_eq!(stage::running_build(&stage.daemon, "watched"), guest::name(1));
    stage.daemon.ctl(&["reload"]);
    assert_eq!(stage::running_build(&stage.daemon, "watched"), guest::name(2));
    assert!(stage.daemon.ctl(&["reload"]).contains("the same"), "a file that was read is no news");
    put(&stage.file(), b"no module");
    let refused = stage.daemon.wapcctl(&["reload"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("modules.watched"), "{refused:?}");
    assert_eq!(stage::running_build(&stage.daemon, "watched"), guest::name(2));
}

#[test]
fn a_module_that_is_stopped_or_waits_for_its_next_try_takes_new_code_when_it_starts() {
    let mut stage = Stage::plain();
    stage.callers.take().unwrap().end();
    stage.daemon.ctl(&["stop", "watched"]);
    put(&stage.file(), guest::build(2));
    pause_for(SETTLE * 2);
    stage.daemon.ctl(&["start", "watched"]);
    eventually("the new code runs", || {
        let answer = stage.daemon.call("watched", "build", b"");
        (answer.status, answer.text()) == (200, guest::name(2))
    });
}
