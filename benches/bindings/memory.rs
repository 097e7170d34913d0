//! `keyvalue` in memory: a host call beside the binding itself, and beside an ordered map under a lock.

use std::{collections::BTreeMap, hint::black_box, sync::Arc};

use bytes::Bytes;
use parking_lot::RwLock;
use wapcd::{
    actors::Modules,
    bindings::Turnstile,
    config::{BindingLimits, BindingSettings, KeyValueBackend, KeyValueSettings, Rules, Space},
};

use crate::{
    calls::{BINDING, Calls, KEYS, key, value},
    harness::{Contender, Failure, Report, race},
    parts,
    stage::Stage,
    turnstile::Echo,
};

pub(crate) fn measure(stage: &Stage, report: &Report) -> Result<(), Failure> {
    let backend = KeyValueBackend::Memory { max_bytes: 64 << 20 };
    let settings = BindingSettings::KeyValue(KeyValueSettings { backend, max_key: 1 << 10, max_value: 1 << 20 });
    let store = stage.open(settings, &Modules::default())?;
    let own = || Rules::Space(Space::Own);
    let player = stage.player("caller", own(), &store.actor)?;
    let nothing = stage.system.block_on(parts::binding(
        &[],
        Arc::new(Echo::at_once()),
        Turnstile::open(BindingLimits::default()),
    ))?;
    let idler = stage.player("idler", Rules::None, &nothing)?;
    let map: RwLock<BTreeMap<Box<[u8]>, Bytes>> = RwLock::default();
    for number in 0..KEYS {
        map.write().insert(key(number).into_bytes().into(), value());
    }
    let keys: Vec<String> = (0..KEYS).map(key).collect();
    let (mut reads, mut writes) = (keys.iter().cycle(), keys.iter().cycle());
    let value = value();
    // The first writes make what the reads find.
    let (set, get) = (Calls::set()?, Calls::get()?);
    stage.system.block_on(player.call("calls", set.times(KEYS)?))?;
    let link = || parts::link(BINDING, own());
    let host_call = |name, calls: &Calls| stage.host_calls(name, &player, calls);
    let reads = vec![
        host_call("host call", &get),
        Contender::new("the binding itself", get.directly(store.backend.make(0), link())),
        Contender::new("a map under a lock", || {
            let key = reads.next().map_or(&[][..], String::as_bytes);
            let found: Option<Bytes> = map.read().get(key).cloned();
            black_box(found).map(drop).ok_or_else(|| "the map has lost a key".into())
        }),
        stage.host_calls("host call that asks for nothing", &idler, &Calls::new("", "get", get.payload())),
    ];
    report.times("keyvalue in memory, get", &race(reads)?);
    let writes = vec![
        host_call("host call", &set),
        Contender::new("the binding itself", set.directly(store.backend.make(0), link())),
        Contender::new("a map under a lock", || {
            let key = writes.next().map_or(&[][..], String::as_bytes);
            black_box(map.write().insert(key.into(), Bytes::copy_from_slice(&value)));
            Ok(())
        }),
        stage.host_calls("host call that asks for nothing", &idler, &Calls::new("", "set", set.payload())),
    ];
    report.times("keyvalue in memory, set", &race(writes)?);
    Ok(())
}
