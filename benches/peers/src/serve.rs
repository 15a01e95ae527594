//! The thin handler: the same requests as the server's, over one of the stores, with nothing around them.

use std::path::Path;

use actix_web::{App, HttpResponse, HttpServer, web};
use serde::Deserialize;

use crate::failure::{Result, While};
use crate::peer::Kind;
use crate::store::{Record, Shared, Store};

#[derive(Deserialize)]
struct Asked {
    container: String,
    #[serde(default)]
    record_id: String,
    #[serde(default)]
    tag: String,
}

/// Serves until it is ended, or until the bench that started it is no more; prints its address and how durable it is.
pub(crate) fn serve(kind: Kind, directory: &Path, socket: &Path) -> Result<()> {
    end_with_the_bench();
    actix_web::rt::System::new().block_on(async {
        let (shared, durability) = Shared::open(kind, directory, socket).await?;
        let server = HttpServer::new(move || {
            let shared = shared.clone();
            App::new()
                .data_factory(move || {
                    let shared = shared.clone();
                    async move {
                        shared
                            .connect()
                            .await
                            .inspect_err(|failure| eprintln!("{failure}"))
                    }
                })
                .route("/mrs/record", web::post().to(create))
                .route("/mrs/record", web::get().to(get))
                .route("/mrs/list", web::get().to(page))
                .route("/bench/count", web::get().to(count))
        });
        let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let server = server
            .workers(workers)
            .bind("127.0.0.1:0")
            .while_trying("listening")?;
        println!("{} {durability}", server.addrs()[0]);
        server.run().await.while_trying("serving")
    })
}

/// The bench keeps this process's input open for as long as it lives.
fn end_with_the_bench() {
    std::thread::spawn(|| {
        let _: std::io::Result<u64> = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
}

async fn create(store: web::Data<Store>, body: web::Bytes) -> HttpResponse {
    match Record::read(&body) {
        Some(record) => answer(
            store
                .put(record)
                .await
                .map(|()| r#"{"success":true}"#.to_owned()),
        ),
        None => HttpResponse::BadRequest().finish(),
    }
}

async fn get(store: web::Data<Store>, asked: web::Query<Asked>) -> HttpResponse {
    let id = format!("{}/{}", asked.container, asked.record_id);
    match store.get(&id).await {
        Ok(None) => HttpResponse::NotFound().finish(),
        Ok(Some(body)) => answer(Ok(body)),
        Err(failure) => answer(Err(failure)),
    }
}

async fn page(store: web::Data<Store>, asked: web::Query<Asked>) -> HttpResponse {
    let tag = format!("{}/{}", asked.container, asked.tag);
    answer(
        store
            .page(&tag)
            .await
            .map(|bodies| format!(r#"{{"items":[{}]}}"#, bodies.join(","))),
    )
}

async fn count(store: web::Data<Store>) -> HttpResponse {
    answer(store.count().await.map(|count| count.to_string()))
}

fn answer(result: Result<String>) -> HttpResponse {
    match result {
        Ok(body) => HttpResponse::Ok()
            .content_type("application/json")
            .body(body),
        Err(failure) => HttpResponse::InternalServerError().body(failure.to_string()),
    }
}
