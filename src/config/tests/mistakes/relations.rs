//! What is refused beside something else: links that lead nowhere, and settings that do not go together.

use super::expect;
use crate::config::tests::bad;

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn links_that_lead_nowhere_or_twice_are_refused() {
    expect(&[
        (
            "[bindings.cache]\ntype = \"keyvalue\"\n[modules.a]\npath = \"a\"\nlinks = [\"log\", \"cashe\"]\n",
            "5:17",
            "modules.a.links[1]",
            &["\"cashe\", which no binding is called", "cache, log, module", "did you mean `cache`?"],
        ),
        (
            "[modules.a]\npath = \"a\"\n[[modules.a.links]]\nbinding = \"default\"\n",
            "4:11",
            "modules.a.links[0].binding",
            &["\"default\", which no binding is called"],
        ),
        (
            "[modules.a]\npath = \"a\"\nlinks = [{ binding = \"default\", to = \"nowhere\" }]\n",
            "3:38",
            "modules.a.links[0].to",
            &["\"nowhere\""],
        ),
        (
            "[modules.a]\npath = \"a\"\nlinks = [\"module\"]\n",
            "3:10",
            "modules.a.links[0]",
            &["without a namespace", "long form", "{ binding = \"module\", namespace = \"NAME\" }"],
        ),
        (
            "[bindings.talk]\ntype = \"module\"\n[modules.a]\npath = \"a\"\nlinks = [\"talk\"]\n",
            "5:10",
            "modules.a.links[0]",
            &["a link to `talk` without a namespace"],
        ),
        (
            "[modules.greeter]\npath = \"a\"\nlinks = [{ to = \"module\", namespace = \"greter\" }]\n",
            "3:39",
            "modules.greeter.links[0].namespace",
            &["which no module is called", "did you mean `greeter`?"],
        ),
        ("[modules.a]\npath = \"a\"\nlinks = [\"log\", \"log\"]\n", "3:17", "modules.a.links[1]", &["line 3"]),
        (
            "[modules.a]\npath = \"a\"\nlinks = [\n { to = \"log\", namespace = \"x\" },\n \
             { to = \"log\", namespace = \"x\", operations = [\"info\"] },\n]\n",
            "5:2",
            "modules.a.links[1]",
            &["binding \"log\" and namespace \"x\"", "the first is on line 4"],
        ),
        ("[modules.a]\npath = \"a\"\nlinks = \"log\"\n", "3:9", "modules.a.links", &["a list of links"]),
        (
            "[modules.a]\npath = \"a\"\nlinks = [5]\n",
            "3:10",
            "modules.a.links[0]",
            &["the name of a binding, or a table"],
        ),
        ("[modules.a]\npath = \"a\"\nlinks = [{ }]\n", "3:10", "modules.a.links[0].to", &["no such key"]),
        (
            "[modules.a]\npath = \"a\"\nlinks = [{ to = \"log\", operations = [] }]\n",
            "3:37",
            "modules.a.links[0].operations",
            &["no operation", "at least one"],
        ),
        (
            "[modules.a]\npath = \"a\"\nlinks = [{ to = \"log\", operations = \"info\" }]\n",
            "3:37",
            "modules.a.links[0].operations",
            &["found \"info\"", "a list of operations"],
        ),
        (
            "[modules.a]\npath = \"a\"\nlinks = [{ to = \"log\", operations = { Info = 1 } }]\n",
            "3:46",
            "modules.a.links[0].operations.Info",
            &["the binding's name of the operation"],
        ),
        (
            "[modules.a]\npath = \"a\"\nlinks = [{ to = \"log\", shared = true }]\n",
            "3:33",
            "modules.a.links[0].shared",
            &["of type \"log\"", "keyvalue"],
        ),
    ]);
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    expect(&[
        (
            "[bindings.a]\ntype = \"keyvalue\"\npath = \"x.redb\"\n[bindings.b]\ntype = \"keyvalue\"\npath = \"y/../x.redb\"\n",
            "6:8",
            "bindings.b.path",
            &["already belongs to the binding `a`"],
        ),
        (
            "[bindings.a]\ntype = \"keyvalue\"\npath = \"b.redb\"\n[bindings.b]\ntype = \"keyvalue\"\n",
            "4:11",
            "bindings.b.path",
            &["/home/ada/state/wapcd/b.redb", "already belongs to the binding `a`"],
        ),
        (
            "[bindings.a]\ntype = \"keyvalue\"\nbackend = \"memory\"\npath = \"x\"\n",
            "4:8",
            "bindings.a.path",
            &["a key of the backend \"redb\"", "\"memory\""],
        ),
        (
            "[bindings.a]\ntype = \"keyvalue\"\nmax_bytes = \"1 MiB\"\n",
            "3:13",
            "bindings.a.max_bytes",
            &["a key of the backend \"memory\""],
        ),
        (
            "[modules.a]\npath = \"a\"\nwasi = { env = { \"A=B\" = \"c\" } }\n",
            "3:18",
            "modules.a.wasi.env.\"A=B\"",
            &["as the name of a variable"],
        ),
        ("[modules.a]\npath = \"a\"\nwasi.argv = \"a\"\n", "3:13", "modules.a.wasi.argv", &["a list of texts"]),
        ("[modules.a]\npath = \"a\"\nwasi.argv = [1]\n", "3:14", "modules.a.wasi.argv[0]", &["a text"]),
        (
            "[modules.a]\npath = \"a\"\n[modules.a.wasi]\npreopened_dirs = [\"/data\"]\nmap_dirs = { \"/data\" = \"other\" }\n",
            "5:12",
            "modules.a.wasi.map_dirs",
            &["a second directory at the guest's path `/data`"],
        ),
        (
            "[daemon]\nstate_dir = \"/s\"\n[modules.a]\npath = \"a\"\nwasi = { preopened_dirs = [\"/data\", \"/s/./x/../code/y\"] }\n",
            "5:8",
            "modules.a.wasi",
            &["`/s/./x/../code/y`", "`/s/code`", "apart from the code"],
        ),
        (
            "[daemon]\nstate_dir = \"/s\"\n[modules.a]\npath = \"a\"\nwasi = { map_dirs = { \"/data\" = \"/\" } }\n",
            "5:8",
            "modules.a.wasi",
            &["`/`", "`/s/code`"],
        ),
    ]);
    let long = format!("[control]\nsocket = \"/{}\"\n", "x".repeat(107));
    let report = bad(&long).to_string();
    assert!(report.contains(":2:10: control.socket: found a socket path of 108 bytes"), "{report}");
}
