//! Requests that change what the daemon runs: `swap` and `rollback` of a module, and `reload` of the configuration.
//!
//! Each may take as long as compiling takes, and a swap holds a whole module meanwhile. So each takes a place first, before
//! its body is read; who finds none is told to come again.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Data},
};

use super::{
    body,
    problem::Problem,
    query,
    routes::{Api, bounded, json, target},
    slots::busy,
};

/// Answers with the module after it got the code in the body.
pub(super) async fn swap(api: Data<Api>, request: HttpRequest, code: web::Payload) -> Result<HttpResponse, Problem> {
    let (name, _) = target(&request)?;
    swap_module(&api, &request, code, &name).await.map_err(|problem| problem.about(&name))
}

async fn swap_module(
    api: &Api,
    request: &HttpRequest,
    code: web::Payload,
    name: &str,
) -> Result<HttpResponse, Problem> {
    let force = query::only_flag(request.query_string(), "force")?;
    let _slot = api.swaps.take(name)?;
    let (bounds, waits) = (api.daemon.bounds(), api.settings.waits);
    let code = body::read(request, code, &waits.code(bounds)).await?;
    let what = format!("the swap of module `{name}`");
    json(&bounded(&what, waits.change(bounds), api.daemon.swap(name.to_owned(), code, force)).await??)
}

/// Answers with the module after it got the code back that ran before.
pub(super) async fn roll_back(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (name, _) = target(&request)?;
    roll_back_module(&api, &request, &name).await.map_err(|problem| problem.about(&name))
}

async fn roll_back_module(api: &Api, request: &HttpRequest, name: &str) -> Result<HttpResponse, Problem> {
    query::nothing(request.query_string())?;
    let _slot = api.rollbacks.take(name)?;
    let limit = api.settings.waits.change(api.daemon.bounds());
    let what = format!("the rollback of module `{name}`");
    json(&bounded(&what, limit, api.daemon.roll_back(name.to_owned())).await??)
}

/// Answers with what the configuration changed, or would change.
pub(super) async fn reload(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let dry_run = query::only_flag(request.query_string(), "dry_run")?;
    let places = api.settings.max_changes;
    let _place = api.reloads.try_acquire().map_err(|_full| busy(format!("{places} reloads are waiting already")))?;
    let limit = api.settings.waits.change(api.daemon.bounds());
    json(&bounded("the reload of the configuration", limit, api.daemon.reload(dry_run)).await??)
}
