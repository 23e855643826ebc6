//! stand-in
use std::sync::Arc;
use async_trait::async_trait;
use shipway_events::{RawEvent, DecodeError};
use sqlx::{AnyConnection, AnyPool, any::AnyPoolOptions};
use tokio::sync::watch;
use crate::log::Log;
/// x
#[derive(Debug, thiserror::Error)]
pub enum ApplyError { /// x
 #[error("db")] Db(#[from] sqlx::Error), /// x
 #[error("decode")] Decode(#[from] DecodeError) }
/// x
#[derive(Debug, thiserror::Error)]
#[error("views: {0}")]
pub struct ViewsError(String);
/// x
#[async_trait]
pub trait Projection: Send + Sync + 'static { /// x
 fn name(&self) -> &'static str; /// x
 fn version(&self) -> u32; /// x
 fn kinds(&self) -> &'static [&'static str]; /// x
 fn schema(&self) -> &'static [&'static str]; /// x
 async fn apply(&self, tables: &mut AnyConnection, events: &[RawEvent]) -> Result<(), ApplyError>; }
/// x
#[derive(Clone)]
pub struct Views { log: Arc<dyn Log>, pool: AnyPool, done: Arc<std::sync::Mutex<Vec<watch::Receiver<u64>>>> }
impl Views {
 /// x
 pub async fn open(log: Arc<dyn Log>, url: &str) -> Result<Self, ViewsError> {
  sqlx::any::install_default_drivers();
  let pool = AnyPoolOptions::new().max_connections(8).after_connect(|c, _| Box::pin(async move { sqlx::query("PRAGMA synchronous=OFF").execute(c).await?; Ok(()) })).connect(url).await.map_err(|e| ViewsError(e.to_string()))?;
  sqlx::query("PRAGMA journal_mode=WAL").execute(&pool).await.map_err(|e| ViewsError(e.to_string()))?;
  Ok(Self { log, pool, done: Arc::default() })
 }
 /// x
 pub fn pool(&self) -> &AnyPool { &self.pool }
 /// x
 pub fn commits(&self) -> u64 { 0 }
 /// x
 pub async fn start(&self, p: Box<dyn Projection>) -> Result<(), ViewsError> {
  let (tx, rx) = watch::channel(0);
  self.done.lock().expect("ok").push(rx);
  for s in p.schema() { sqlx::query(*s).execute(&self.pool).await.map_err(|e| ViewsError(e.to_string()))?; }
  let (log, pool) = (self.log.clone(), self.pool.clone());
  tokio::spawn(async move {
   let mut tail = log.tail(); let mut at = 0;
   loop {
    tail.borrow_and_update();
    let page = log.read(at, 500).await.expect("read");
    if let Some(last) = page.last() {
      let last = last.position;
      let mine: Vec<_> = page.into_iter().filter(|e| p.kinds().contains(&e.stream.kind())).collect();
      if !mine.is_empty() { let mut t = pool.begin().await.expect("b"); p.apply(&mut t, &mine).await.expect("apply"); t.commit().await.expect("c"); }
      at = last; tx.send_replace(at); continue;
    }
    if tail.changed().await.is_err() { return; }
   }
  });
  Ok(())
 }
 /// x
 pub async fn wait_for(&self, position: u64) -> Result<(), ViewsError> {
  let all: Vec<_> = self.done.lock().expect("ok").clone();
  for mut r in all { r.wait_for(|p| *p >= position).await.map_err(|e| ViewsError(e.to_string()))?; }
  Ok(())
 }
}
