//! Which route of a `http` trigger a request belongs to. The check of a configuration builds it to find what is wrong with
//! routes, the trigger builds it again to find them: what the check lets through is what runs.
//!
//! A request's host chooses first: routes of that very host, then of the longest `*.` above it, then those without hosts.
//! The first of these that has the path decides, and of its patterns the one that says most: fixed text before a parameter
//! before the rest. Its methods come last, those by name before the route that takes every one.

use std::{collections::HashMap, sync::Arc};

use matchit::InsertError;
use thiserror::Error;

use super::model::{Route, Template};

/// The routes of a trigger, by host, path and method.
#[derive(Debug, Default)]
pub struct Router {
    exact: HashMap<String, Paths>,
    /// By what follows the star, with its dot: `.example.com`.
    below: HashMap<String, Paths>,
    any: Paths,
}

/// Every pattern of the same hosts.
#[derive(Debug, Default)]
struct Paths {
    patterns: matchit::Router<usize>,
    places: Vec<Place>,
    /// Places by the text of their pattern; only those without parameters once the router is made, since these are paths.
    known: HashMap<String, usize>,
}

/// What is at one pattern: a route for each method, by their indices.
#[derive(Debug, Default)]
struct Place {
    named: Vec<(String, usize)>,
    every: Option<usize>,
    allow: String,
}

/// A path that exists.
#[derive(Debug)]
pub struct Found<'r, 'p> {
    place: &'r Place,
    /// The values of the pattern's parameters, as they were sent.
    pub parameters: matchit::Params<'r, 'p>,
}

/// What is wrong with a route.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RouteProblem {
    /// An earlier route says the same.
    #[error("{what}, which the {}. route takes", first + 1)]
    Taken {
        /// Method and path.
        what: String,
        /// Index of the route that has it.
        first: usize,
    },
    /// Nobody could say which of two patterns a path belongs to.
    #[error("a path that cannot be told from {with:?} of another route")]
    Ambiguous {
        /// The pattern of the other route.
        with: String,
    },
    /// The pattern is none.
    #[error("{0}")]
    Pattern(&'static str),
    /// The module or operation is a parameter that the path does not have.
    #[error("the parameter {{{name}}}, which the path does not have")]
    NoParameter {
        /// Its name.
        name: Arc<str>,
        /// The key that names it.
        key: &'static str,
    },
}

impl Router {
    /// Makes the router; routes with a problem are not part of it. Problems name their route by its index.
    #[must_use]
    pub fn new(routes: &[Arc<Route>]) -> (Self, Vec<(usize, RouteProblem)>) {
        let (mut router, mut problems) = (Self::default(), Vec::new());
        for (index, route) in routes.iter().enumerate() {
            problems.extend(router.add(index, route).map(|problem| (index, problem)));
            problems.extend(without_parameter(route).map(|problem| (index, problem)));
        }
        for paths in router.all() {
            paths.known.retain(|pattern, _| is_path(pattern));
            paths.places.iter_mut().for_each(Place::write_allow);
        }
        (router, problems)
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Paths> {
        self.exact.values_mut().chain(self.below.values_mut()).chain([&mut self.any])
    }

    fn add(&mut self, index: usize, route: &Route) -> Option<RouteProblem> {
        if let Some(why) = unusable(&route.path) {
            return Some(RouteProblem::Pattern(why));
        }
        if route.hosts.is_empty() {
            return self.any.add(index, route).err();
        }
        let added = route.hosts.iter().map(|host| match host.strip_prefix('*') {
            Some(above) => self.below.entry(above.to_owned()).or_default().add(index, route),
            None => self.exact.entry(host.clone()).or_default().add(index, route),
        });
        added.filter_map(Result::err).next()
    }

    /// Whether routes differ by host.
    #[must_use]
    pub fn knows_hosts(&self) -> bool {
        !(self.exact.is_empty() && self.below.is_empty())
    }

    /// Finds what is at a path. The host is without a port, in lower case.
    #[must_use]
    pub fn find<'r, 'p>(&'r self, host: Option<&str>, path: &'p str) -> Option<Found<'r, 'p>> {
        if let Some(host) = host.filter(|_| self.knows_hosts()) {
            let above = host.match_indices('.').filter_map(|(at, _)| self.below.get(host.get(at..)?));
            let mut chosen = self.exact.get(host).into_iter().chain(above);
            if let Some(found) = chosen.find_map(|paths| paths.find(path)) {
                return Some(found);
            }
        }
        self.any.find(path)
    }
}

impl Paths {
    fn add(&mut self, index: usize, route: &Route) -> Result<(), RouteProblem> {
        let at = match self.known.get(&route.path) {
            Some(at) => *at,
            None => {
                let at = self.places.len();
                self.patterns.insert(route.path.as_str(), at).map_err(refused)?;
                self.places.push(Place::default());
                self.known.insert(route.path.clone(), at);
                at
            }
        };
        // Always there: `known` has no other numbers.
        self.places.get_mut(at).map_or(Ok(()), |place| place.add(index, route))
    }

    fn find<'r, 'p>(&'r self, path: &'p str) -> Option<Found<'r, 'p>> {
        // Fixed text goes before parameters, so such a path need not be looked for among the others. A thousand of them in a
        // tree would be some twenty cold lines of memory on the way to one; here it is two or three.
        if let Some(at) = self.known.get(path) {
            return Some(Found { place: self.places.get(*at)?, parameters: matchit::Params::default() });
        }
        let found = self.patterns.at(path).ok()?;
        Some(Found { place: self.places.get(*found.value)?, parameters: found.params })
    }
}

impl Place {
    fn add(&mut self, index: usize, route: &Route) -> Result<(), RouteProblem> {
        let taken = |method: &str, first| {
            let what = format!("{method} {:?}", route.path);
            Err(RouteProblem::Taken { what, first })
        };
        if route.methods.is_empty() {
            return match self.every {
                Some(first) => taken("every method of", first),
                None => {
                    self.every = Some(index);
                    Ok(())
                }
            };
        }
        for method in &route.methods {
            match self.of(method) {
                Some(first) if first != index => return taken(method, first),
                Some(_) => {}
                None => self.named.push((method.clone(), index)),
            }
        }
        Ok(())
    }

    fn of(&self, method: &str) -> Option<usize> {
        self.named.iter().find(|(name, _)| name == method).map(|(_, index)| *index)
    }

    fn write_allow(&mut self) {
        let mut methods: Vec<&str> = self.named.iter().map(|(name, _)| name.as_str()).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.push("OPTIONS");
        methods.sort_unstable();
        methods.dedup();
        self.allow = methods.join(", ");
    }
}

impl Found<'_, '_> {
    /// The index of the route that takes the method. `HEAD` belongs to the route of `GET` where it has none of its own.
    #[must_use]
    pub fn route(&self, method: &str) -> Option<usize> {
        let of_get = || if method == "HEAD" { self.place.of("GET") } else { None };
        self.place.of(method).or_else(of_get).or(self.place.every)
    }

    /// The methods of this path that have a name, with those that are answered for them, as `Allow` lists them.
    #[must_use]
    pub fn allow(&self) -> &str {
        &self.place.allow
    }
}

/// Whether a pattern is the only path that it has: neither parameters nor braces that stand for themselves.
fn is_path(pattern: &str) -> bool {
    !pattern.contains(['{', '}'])
}

/// The names of a pattern's parameters.
pub(super) fn parameters(pattern: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = pattern;
    while let Some((_, after)) = rest.split_once('{') {
        // A doubled brace is a brace.
        rest = match after.strip_prefix('{') {
            Some(literal) => literal,
            None => match after.split_once('}') {
                Some((name, behind)) => {
                    names.push(name.strip_prefix('*').unwrap_or(name));
                    behind
                }
                None => "",
            },
        };
    }
    names
}

fn unusable(pattern: &str) -> Option<&'static str> {
    if pattern.contains(['?', '#']) {
        return Some("a path with `?` or `#`, which end a path");
    }
    let as_sent = pattern.bytes().all(|byte| byte.is_ascii_graphic());
    (!as_sent).then_some("a path with characters that are sent percent-encoded, and are compared so")
}

fn without_parameter(route: &Route) -> impl Iterator<Item = RouteProblem> {
    let names = parameters(&route.path);
    let missing = move |key, template: &Template| match template {
        Template::Parameter(name) if !names.contains(&&**name) => {
            Some(RouteProblem::NoParameter { name: Arc::clone(name), key })
        }
        _ => None,
    };
    [missing("module", &route.module), missing("operation", &route.operation)].into_iter().flatten()
}

fn refused(error: InsertError) -> RouteProblem {
    match error {
        InsertError::Conflict { with } => RouteProblem::Ambiguous { with },
        InsertError::InvalidParamSegment => RouteProblem::Pattern("a path with two parameters in one segment"),
        InsertError::InvalidCatchAll => RouteProblem::Pattern("a path in which something follows the rest"),
        _ => RouteProblem::Pattern("a path with a brace that is no parameter; a doubled one is a brace"),
    }
}
