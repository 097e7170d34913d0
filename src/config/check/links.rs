//! Links of configured and of dropped modules: each leads to a binding, and where it opens a module, to a module that exists;
//! a dropped module has only those that the drop-in directory allows.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    sync::Arc,
};

use serde_json::Value;

use super::{list, rules};
use crate::config::{
    error::ConfigErrorKind,
    model::{Binding, BindingSettings, Config, Declared, DropIn, Link, Module, Rules},
    reader::{Problem, did_you_mean},
    sections::{bindings::WrittenBinding, drop_in::WrittenDropIn, links::WrittenLink, module::WrittenModule},
};

/// Checks the links of all modules, and gives the modules with them.
pub(in crate::config) fn modules(
    written: Vec<WrittenModule<'_>>,
    bindings: &[Binding],
    declared: &[WrittenBinding<'_>],
) -> Vec<Module> {
    let names: BTreeSet<Arc<str>> = written.iter().map(|module| module.module.name.clone()).collect();
    let known = Known { modules: names, bindings, declared, drop_in: None };
    written.into_iter().map(|written| with_links(written, &known)).collect()
}

/// Checks the links of a dropped module against a configuration, and gives the module with them.
pub(in crate::config) fn dropped(written: WrittenModule<'_>, config: &Config) -> Module {
    let configured = config.modules.iter().filter(|module| module.declared == Declared::Configured);
    let known = Known {
        modules: configured.map(|module| module.name.clone()).collect(),
        bindings: &config.bindings,
        declared: &[],
        drop_in: Some(Allowed {
            links: config.drop_in.as_ref().map(|drop_in| drop_in.links.as_slice()).unwrap_or_default(),
            source: &config.source,
        }),
    };
    with_links(written, &known)
}

/// Checks that dropped modules are allowed links to bindings that exist.
pub(in crate::config) fn drop_in(
    written: Option<WrittenDropIn<'_>>,
    bindings: &[Binding],
    declared: &[WrittenBinding<'_>],
) -> Option<DropIn> {
    let WrittenDropIn { drop_in, links } = written?;
    let known = Known { modules: BTreeSet::new(), bindings, declared, drop_in: None };
    for (name, node) in links.iter().filter(|(name, _)| !known.has_binding(name)) {
        node.problem::<()>(known.no_such_binding(name));
    }
    Some(drop_in)
}

fn with_links(written: WrittenModule<'_>, known: &Known<'_, '_>) -> Module {
    Module { links: known.links(&written.links, &written.module.config), ..written.module }
}

/// What links may lead to.
struct Known<'a, 'd> {
    modules: BTreeSet<Arc<str>>,
    bindings: &'a [Binding],
    declared: &'a [WrittenBinding<'d>],
    /// For a dropped module: what it may link to.
    drop_in: Option<Allowed<'a>>,
}

/// What dropped modules may link to, and which file says so.
struct Allowed<'a> {
    links: &'a [Arc<str>],
    source: &'a Path,
}

impl Known<'_, '_> {
    fn links(&self, links: &[WrittenLink<'_>], config: &Arc<Value>) -> Vec<Arc<Link>> {
        let mut seen = HashMap::new();
        for link in links {
            self.check(link);
            let namespace = link.namespace.as_ref().map(|(namespace, _)| *namespace);
            if let Some(first) = seen.insert((link.binding, namespace), &link.node) {
                link.node.problem::<()>(second_link(link.binding, namespace, &first.place_for(&link.node)));
            }
        }
        links.iter().map(|link| Arc::new(self.checked(link, config))).collect()
    }

    fn checked(&self, link: &WrittenLink<'_>, config: &Arc<Value>) -> Link {
        let binding = self.bindings.iter().find(|binding| *binding.name == *link.to.0);
        Link {
            binding: link.binding.to_owned(),
            namespace: link.namespace.as_ref().map(|(namespace, _)| (*namespace).to_owned()),
            to: Arc::from(link.to.0),
            operations: link.operations.clone(),
            required: link.required,
            rules: binding.map_or(Rules::None, |binding| rules::read(link, &binding.settings, config)),
        }
    }

    fn check(&self, link: &WrittenLink<'_>) {
        let (to, node) = &link.to;
        let Some(binding) = self.bindings.iter().find(|binding| *binding.name == **to) else {
            if !self.has_binding(to) {
                node.problem::<()>(self.no_such_binding(to));
            }
            return;
        };
        if let Some(allowed) = self.drop_in.as_ref().filter(|allowed| !allowed.links.contains(&binding.name)) {
            node.problem::<()>(allowed.not_this(to));
        }
        if binding.settings == BindingSettings::Module {
            self.check_target(link);
        }
    }

    /// Whether there is a binding of this name; one whose declaration has a problem of its own is not missing.
    fn has_binding(&self, name: &str) -> bool {
        let declared = || self.declared.iter().any(|binding| binding.name == name);
        self.bindings.iter().any(|binding| &*binding.name == name) || declared()
    }

    /// A link to `module` opens one module, which its namespace names.
    fn check_target(&self, link: &WrittenLink<'_>) {
        let Some((namespace, node)) = &link.namespace else {
            link.node.problem::<()>(Problem {
                kind: ConfigErrorKind::MissingKey,
                found: format!("a link to `{}` without a namespace", link.to.0),
                expected: "the long form with a `namespace`, the module it opens".to_owned(),
                hint: Some(format!(
                    "such as {{ binding = \"{}\", namespace = \"NAME\" }}",
                    link.binding.escape_default()
                )),
            });
            return;
        };
        if !self.modules.contains(*namespace) {
            node.problem::<()>(Problem {
                kind: ConfigErrorKind::UnknownName,
                found: format!("{namespace:?}, which no module is called"),
                expected: list("the name of a module", self.modules.iter().map(|name| &**name)),
                hint: did_you_mean(namespace, self.modules.iter().map(|name| &**name)),
            });
        }
    }

    fn no_such_binding(&self, name: &str) -> Problem {
        let names = || self.bindings.iter().map(|binding| &*binding.name);
        Problem {
            kind: ConfigErrorKind::UnknownName,
            found: format!("{name:?}, which no binding is called"),
            expected: list("the name of a binding", names()),
            hint: did_you_mean(name, names()),
        }
    }
}

impl Allowed<'_> {
    fn not_this(&self, binding: &str) -> Problem {
        let expected = match self.links {
            [] => "no links: `links` below [drop_in] allows dropped modules none".to_owned(),
            links => list("only what `links` below [drop_in] lists", links.iter().map(|name| &**name)),
        };
        Problem {
            kind: ConfigErrorKind::Conflict,
            found: format!("a link of a dropped module to the binding `{binding}`, which [drop_in] does not allow"),
            expected,
            hint: Some(format!("add \"{binding}\" to `links` below [drop_in] in {}", self.source.display())),
        }
    }
}

fn second_link(binding: &str, namespace: Option<&str>, first: &str) -> Problem {
    let namespace = namespace.map_or("any namespace".to_owned(), |namespace| format!("namespace {namespace:?}"));
    Problem {
        kind: ConfigErrorKind::Duplicate,
        found: format!("a second link for binding {binding:?} and {namespace}"),
        expected: format!("one link for each; the first is on {first}"),
        hint: None,
    }
}
