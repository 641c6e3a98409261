//! The loop that receives, hands over, pauses and commits.

use super::attend::Attended;
use super::intake::{Intake, Job, Lane, Running, Taken, add, end_unknown};
use super::{Options, RunError};
use crate::TracedConsumer;
use crate::consumer::OnRevoke;
use hopscope_sdk::Outcome;
use hopscope_sdk::work::{Task, Workers, WorkersConfig};
use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::future::pending;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How long the client goes unasked while all workers are busy, before its partitions are paused: pausing throws away
/// what it has fetched, and a moment's wait does not.
const PAUSE_AFTER: Duration = Duration::from_millis(500);
/// How long leaving the group may take.
const LEAVE_WAIT: Duration = Duration::from_secs(5);

type Committing<'c> = Pin<Box<dyn Future<Output = (Vec<(Lane, i64)>, KafkaResult<()>)> + Send + 'c>>;

/// Until `stop` is ready or nothing can go on; then to a clean end.
pub(super) async fn drive<C, A, F>(
    consumer: &TracedConsumer<C>,
    options: Options,
    attend: A,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), RunError>
where
    C: ConsumerContext + 'static,
    A: Fn(Job, Task<Lane>, Arc<Options>) -> F + Send + Sync + 'static,
    F: Future<Output = Attended> + Send + 'static,
{
    let options = Arc::new(options);
    let intake = Arc::new(Intake::new(&options));
    let workers = {
        let (options, intake) = (Arc::clone(&options), Arc::clone(&intake));
        let config = WorkersConfig {
            workers_max: options.workers_max,
            waiting_max: (options.waiting_max / options.batch_max.max(1)).max(1),
            order: options.order,
        };
        let handler = move |job, task| attend(job, task, Arc::clone(&options));
        Workers::new(&Handle::current(), config, handler, move |ended| intake.ended(ended))
    };
    let running = Arc::new(Running { intake, workers });
    let observed: Arc<dyn OnRevoke> = Arc::clone(&running) as _;
    consumer.observer().tell(&observed);
    let mut engine =
        Engine { consumer, options: &options, running: &running, topics: Vec::new(), committing: None };
    let ended = engine.work(pin!(stop)).await;
    let closed = engine.close().await;
    ended.and(closed)
}

struct Engine<'r, C: ConsumerContext + 'static> {
    consumer: &'r TracedConsumer<C>,
    options: &'r Options,
    running: &'r Running,
    /// Names of topics, shared by the lanes.
    topics: Vec<Arc<str>>,
    committing: Option<Committing<'r>>,
}

impl<C: ConsumerContext + 'static> Engine<'_, C> {
    async fn work(&mut self, mut stop: Pin<&mut (impl Future<Output = ()> + Send)>) -> Result<(), RunError> {
        let Running { intake, workers } = self.running;
        let consumer = self.consumer;
        let (mut full_since, mut paused) = (None, false);
        let mut commit_at = Instant::now() + self.options.commit_every;
        loop {
            if let Some(error) = intake.stop() {
                return Err(error);
            }
            let freed = intake.advance();
            if !paused {
                self.resume(&freed)?;
            }
            let full = intake.hand_over(workers);
            let since = if full { *full_since.get_or_insert_with(Instant::now) } else { Instant::now() };
            if !full {
                full_since = None;
                if paused {
                    self.resume_all()?;
                    paused = false;
                }
            }
            if commit_at <= Instant::now() {
                self.commit_due();
                commit_at = Instant::now() + self.options.commit_every;
            }
            let pause_at = (full && !paused).then(|| since + PAUSE_AFTER);
            let timer = [Some(commit_at), intake.next_at(), pause_at].into_iter().flatten().min();
            let committing = &mut self.committing;
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                (lanes, result) = committed(committing) => {
                    *committing = None;
                    // One that failed stays due.
                    if result.is_ok() {
                        intake.committed(&lanes);
                    }
                }
                () = intake.woken.notified() => {}
                _ = workers.room(), if full => {}
                () = sleep_until(timer) => {
                    if pause_at.is_some_and(|at| at <= Instant::now()) {
                        self.pause_all()?;
                        paused = true;
                    }
                }
                message = consumer.recv(), if !full || paused => {
                    self.take(message)?;
                    // A partition that was assigned meanwhile is not paused.
                    if paused {
                        self.pause_all()?;
                    }
                }
            }
        }
    }

    fn take(
        &mut self,
        message: KafkaResult<hopscope_sdk::Traced<BorrowedMessage<'_>>>,
    ) -> Result<(), RunError> {
        let message = match message {
            Ok(message) => message,
            Err(error) if is_final(&error) => return Err(RunError::Client(error)),
            // The client goes on by itself.
            Err(_) => return Ok(()),
        };
        let lane = self.lane(message.message().topic(), message.message().partition());
        let message = Arc::new(message.map(|message| message.detach()));
        if let Taken::Delayed(lane) = self.running.intake.take(lane, message) {
            let paused = self.consumer.inner().pause(&list([&lane]));
            paused.map_err(RunError::Client)?;
        }
        Ok(())
    }

    fn lane(&mut self, topic: &str, partition: i32) -> Lane {
        let known = self.topics.iter().find(|known| &***known == topic).cloned();
        let topic = known.unwrap_or_else(|| {
            let topic: Arc<str> = topic.into();
            self.topics.push(Arc::clone(&topic));
            topic
        });
        Lane { topic, partition }
    }

    fn commit_due(&mut self) {
        let due = self.running.intake.due();
        if self.committing.is_some() || due.is_empty() {
            return;
        }
        let consumer = self.consumer;
        self.committing = Some(Box::pin(async move {
            let result = consumer.commit(offsets(&due)).await;
            (due, result)
        }));
    }

    fn pause_all(&self) -> Result<(), RunError> {
        let consumer = self.consumer.inner();
        consumer.assignment().and_then(|all| consumer.pause(&all)).map_err(RunError::Client)
    }

    /// Those that are not due stay paused.
    fn resume_all(&self) -> Result<(), RunError> {
        let consumer = self.consumer.inner();
        let delayed = self.running.intake.delayed();
        let assigned = consumer.assignment().map_err(RunError::Client)?;
        let mut resumed = TopicPartitionList::new();
        for lane in assigned.elements() {
            let is_lane = |of: &Lane| &*of.topic == lane.topic() && of.partition == lane.partition();
            if !delayed.iter().any(is_lane) {
                resumed.add_partition(lane.topic(), lane.partition());
            }
        }
        consumer.resume(&resumed).map_err(RunError::Client)
    }

    fn resume(&self, lanes: &[Lane]) -> Result<(), RunError> {
        if lanes.is_empty() {
            return Ok(());
        }
        self.consumer.inner().resume(&list(lanes)).map_err(RunError::Client)
    }

    /// Finishes what is at work, commits, leaves.
    async fn close(&mut self) -> Result<(), RunError> {
        let Running { intake, workers } = self.running;
        intake.clear();
        // Where the assignment is not known any more there is nothing to pause.
        let _ = self.pause_all();
        let mut drain = pin!(workers.drain(self.options.drain));
        let mut serving = true;
        let drained = loop {
            tokio::select! {
                biased;
                drained = &mut drain => break drained,
                // Rebalances are served meanwhile. What comes is not committed, and comes again.
                message = self.consumer.inner().recv(), if serving => serving = message.is_ok(),
            }
        };
        end_unknown(drained.not_started.into_iter().flat_map(|(_, job)| job), Outcome::Unknown("shutdown"));
        if let Some(committing) = self.committing.take() {
            let (lanes, result) = committing.await;
            if result.is_ok() {
                intake.committed(&lanes);
            }
        }
        let due = intake.due();
        let result = if due.is_empty() { Ok(()) } else { self.consumer.commit(offsets(&due)).await };
        if result.is_ok() {
            intake.committed(&due);
        }
        self.leave().await;
        match intake.stop() {
            Some(error) => Err(error),
            None => result.map_err(RunError::Commit),
        }
    }

    /// Gives the partitions to others at once, and the position back to what is committed.
    async fn leave(&mut self) {
        let consumer = self.consumer.inner();
        consumer.unsubscribe();
        let served = async {
            while consumer.assignment().is_ok_and(|assigned| assigned.count() > 0) {
                // The client hands its events out while somebody receives.
                let _ = tokio::time::timeout(Duration::from_millis(20), consumer.recv()).await;
            }
        };
        let _ = tokio::time::timeout(LEAVE_WAIT, served).await;
    }
}

/// Errors after which the client does not go on by itself.
fn is_final(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let codes = [
        Code::Fatal,
        Code::Authentication,
        Code::SaslAuthenticationFailed,
        Code::TopicAuthorizationFailed,
        Code::GroupAuthorizationFailed,
        Code::ClusterAuthorizationFailed,
    ];
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || error.rdkafka_error_code().is_some_and(|code| codes.contains(&code))
}

async fn committed(committing: &mut Option<Committing<'_>>) -> (Vec<(Lane, i64)>, KafkaResult<()>) {
    match committing {
        Some(committing) => committing.await,
        None => pending().await,
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => pending().await,
    }
}

fn offsets(lanes: &[(Lane, i64)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(lanes.len());
    lanes.iter().for_each(|(lane, next)| add(&mut list, lane, Offset::Offset(*next)));
    list
}

fn list<'a>(lanes: impl IntoIterator<Item = &'a Lane>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for lane in lanes {
        list.add_partition(&lane.topic, lane.partition);
    }
    list
}
