//! Metrics by their Prometheus names and the admin server over real HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use analytica::telemetry::{Admin, Metrics, Readiness};

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://{address}{path}")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn admin(metrics: &Metrics, readiness: &Readiness) -> Admin {
    Admin::start("127.0.0.1:0".parse().unwrap(), metrics.clone(), readiness.clone()).await.unwrap()
}

#[tokio::test]
async fn health_is_always_ok_and_readiness_says_why_not() {
    let readiness = Readiness::not_yet("waiting for the first config set");
    let admin = admin(&Metrics::default(), &readiness).await;
    assert_eq!(get(admin.address(), "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(admin.address(), "/readyz").await, (503, "waiting for the first config set\n".to_owned()));
    readiness.set(None);
    assert_eq!(get(admin.address(), "/readyz").await, (200, "ready\n".to_owned()));
    assert_eq!(get(admin.address(), "/nothing").await.0, 404);
    let address = admin.address();
    admin.stop().await.unwrap();
    assert!(reqwest::get(format!("http://{address}/healthz")).await.is_err());
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_with_a_hint() {
    let (metrics, readiness) = (Metrics::default(), Readiness::not_yet("starting"));
    let first = admin(&metrics, &readiness).await;
    let error = Admin::start(first.address(), metrics, readiness).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot listen on {} for the admin server: ", first.address())), "{error}");
    assert!(error.hint().unwrap().contains("admin.listen"));
}

#[tokio::test]
async fn metrics_have_prometheus_names_units_and_an_end() {
    let metrics = Metrics::default();
    metrics.event_in("web");
    metrics.accepted("web", "kyc_submitted");
    metrics.rejected("web", "malformed");
    metrics.queued("warehouse", 3);
    metrics.delivered("warehouse", "delivered", 2);
    metrics.dead("warehouse", "delivery");
    metrics.batch("warehouse", "ok", 2, Duration::from_millis(7));
    metrics.processed(Duration::from_nanos(1_300));
    metrics.end_to_end("warehouse", Duration::from_millis(4));
    metrics.queue_lag("warehouse", 1);
    metrics.source_lag(5);
    metrics.delivery_state("warehouse", "delivering");
    metrics.reload("applied", Duration::from_millis(80));
    metrics.config_live("aaa");
    metrics.config_live("bbb");

    let admin = admin(&metrics, &Readiness::not_yet("starting")).await;
    let (status, text) = get(admin.address(), "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "analytica_events_in_total{source=\"web\"} 1",
        "analytica_events_accepted_total{source=\"web\",event=\"kyc_submitted\"} 1",
        "analytica_events_rejected_total{source=\"web\",reason=\"malformed\"} 1",
        "analytica_deliveries_queued_total{consumer=\"warehouse\"} 3",
        "analytica_deliveries_total{consumer=\"warehouse\",result=\"delivered\"} 2",
        "analytica_dead_letters_total{consumer=\"warehouse\",stage=\"delivery\"} 1",
        "analytica_sink_calls_total{consumer=\"warehouse\",result=\"ok\"} 1",
        "analytica_sink_call_records_sum{consumer=\"warehouse\"} 2.0",
        "analytica_sink_call_duration_seconds_bucket{le=\"0.0075\",consumer=\"warehouse\"} 1",
        "analytica_pipeline_duration_seconds_bucket{le=\"0.000002\"} 1",
        "analytica_end_to_end_duration_seconds_count{consumer=\"warehouse\"} 1",
        "analytica_queue_lag_records{consumer=\"warehouse\"} 1",
        "analytica_events_lag_records 5",
        "analytica_delivery_state{consumer=\"warehouse\",state=\"delivering\"} 1",
        "analytica_delivery_state{consumer=\"warehouse\",state=\"paused\"} 0",
        "analytica_config_reloads_total{result=\"applied\"} 1",
        "analytica_config_info{digest=\"bbb\"} 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("aaa"), "a digest that is not live is gone");
}

#[test]
fn a_snapshot_sums_what_carries_the_labels_and_bounds_quantiles() {
    let metrics = Metrics::default();
    metrics.accepted("web", "a");
    metrics.accepted("web", "b \"quoted\", {odd}");
    metrics.accepted("loan", "a");
    for ms in [1, 1, 4, 70_000] {
        metrics.end_to_end("w", Duration::from_millis(ms));
    }
    metrics.delivery_state("w", "paused");
    let now = metrics.snapshot();
    assert_eq!(now.count("analytica_events_accepted_total", &[]), 3);
    assert_eq!(now.count("analytica_events_accepted_total", &[("source", "web")]), 2);
    assert_eq!(now.count("analytica_events_accepted_total", &[("event", "b \"quoted\", {odd}")]), 1);
    assert_eq!(now.count("analytica_events_accepted_total", &[("source", "nobody")]), 0);
    assert_eq!(now.label_values("analytica_delivery_state", "state", &[("consumer", "w")]), ["paused"]);
    let quantile = |q| now.quantile("analytica_end_to_end_duration_seconds", &[("consumer", "w")], q);
    assert_eq!((quantile(0.5), quantile(0.75), quantile(1.0)), (Some(0.001), Some(0.005), Some(f64::INFINITY)));
    metrics.forget("w");
    assert!(metrics.snapshot().label_values("analytica_delivery_state", "state", &[]).is_empty());
}

#[test]
fn recorders_of_several_threads_count_into_the_same_series() {
    let metrics = Metrics::default();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let mut record = metrics.recorder();
                for _ in 0..1_000 {
                    record.event_in("web");
                    record.accepted("web", "a");
                    record.queued("w", 2);
                    record.processed(Duration::from_micros(1));
                }
                record.rejected("web", "malformed");
            });
        }
    });
    let now = metrics.snapshot();
    assert_eq!(now.count("analytica_events_in_total", &[("source", "web")]), 4_000);
    assert_eq!(now.count("analytica_events_accepted_total", &[("event", "a")]), 4_000);
    assert_eq!(now.count("analytica_deliveries_queued_total", &[("consumer", "w")]), 8_000);
    assert_eq!(now.count("analytica_pipeline_duration_seconds_count", &[]), 4_000);
    assert_eq!(now.count("analytica_events_rejected_total", &[("reason", "malformed")]), 4);
}
