//! Claims by way of the routes: what agents without credentials and operators see.
use crate::fixture::{App, As, from_peer, request};
use axum::http::{Method, StatusCode, header};
use fleet_api::ApiSettings;
use fleet_core::{FleetSettings, TokenHash};
use serde_json::{Value, json};
use std::time::Duration;

fn claim(token: &str, name: &str) -> Value {
    let hex: String = TokenHash::of(token)
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    json!({"token_sha256": hex, "name": name, "kind": "scanner", "hostname": "h", "version": "0.1.0"})
}

async fn poll(app: &App, id: &Value, token: Option<&str>) -> crate::fixture::Answer {
    let path = format!("/api/v1/claims/{}", id.as_str().unwrap());
    let mut request = request(Method::GET, &path, &As::Nobody, None);
    if let Some(token) = token {
        request.headers_mut().insert("x-claim-token", token.parse().unwrap());
    }
    app.send(request).await
}

#[tokio::test]
async fn an_agent_is_claimed_and_goes_on_with_its_key() {
    let app = App::new().await;
    let operator = app.operator().await;
    let mut asked = request(
        Method::POST,
        "/api/v1/claims",
        &As::Nobody,
        Some(claim("st_1", "web-1").to_string()),
    );
    asked
        .headers_mut()
        .insert(header::HOST, "fleet.example.com:7600".parse().unwrap());
    let opened = app.send(asked).await;
    assert_eq!(opened.status, StatusCode::CREATED, "{}", opened.text);
    let opened = opened.json();
    assert_eq!(
        (&opened["url"], &opened["poll_after_secs"]),
        (&json!("http://fleet.example.com:7600/claim"), &json!(5))
    );
    assert_eq!(opened["code"].as_str().unwrap().len(), 9);
    let id = &opened["claim_id"];
    let pending = poll(&app, id, Some("st_1")).await;
    assert_eq!(
        (pending.status, &pending.json()["expires_at"]),
        (StatusCode::ACCEPTED, &opened["expires_at"])
    );
    let mut unknown = Vec::new();
    let stranger = json!("0190a5c1-7e2b-7c11-8a3e-5b1d9f0c2d4e");
    for (id, token) in [
        (id, Some("st_2")),
        (id, None),
        (&stranger, Some("st_1")),
        (&json!("x"), Some("st_1")),
    ] {
        let answer = poll(&app, id, token).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::NOT_FOUND, "claim_not_found")
        );
        unknown.push(answer.text);
    }
    assert!(
        unknown.iter().all(|text| *text == unknown[0]),
        "nobody learns which was wrong"
    );

    let accept = async |body: Value| app.post("/api/v1/claims/accept", &operator, body).await;
    let accepted = accept(json!({"code": opened["code"]})).await;
    assert_eq!(
        (accepted.status, &accepted.json()["name"]),
        (StatusCode::OK, &json!("web-1")),
        "{}",
        accepted.text
    );
    let again = accept(json!({"code": opened["code"]})).await;
    assert_eq!(
        (again.status, again.code().as_str()),
        (StatusCode::CONFLICT, "claim_accepted")
    );
    let nobody = accept(json!({"code": "0000-0000"})).await;
    assert_eq!(
        (nobody.status, nobody.code().as_str()),
        (StatusCode::NOT_FOUND, "claim_not_found")
    );

    let first = poll(&app, id, Some("st_1")).await;
    assert_eq!(first.status, StatusCode::OK);
    let lost = poll(&app, id, Some("st_1")).await;
    assert_eq!(lost.text, first.text, "a lost answer strands nobody");
    let agent = As::Agent(first.json()["api_key"].as_str().unwrap().to_owned());
    let beat = json!({"status": "healthy", "version": "0.1.0"});
    assert_eq!(
        app.post("/api/v1/agents/me/heartbeat", &agent, beat).await.status,
        StatusCode::OK
    );
    let used = poll(&app, id, Some("st_1")).await;
    assert_eq!((used.status, used.code().as_str()), (StatusCode::GONE, "claim_used"));
    let listed = app.get("/api/v1/claims", &operator).await.json();
    assert_eq!(
        (&listed["items"][0]["state"], &listed["items"][0]["accepted_by"]),
        (&json!("used"), &json!("admin"))
    );
    assert!(
        !listed.to_string().contains("sk_") && !listed.to_string().contains("token"),
        "no secret is listed"
    );
    let page = app.get("/claim", &As::Nobody).await;
    assert!(page.status == StatusCode::OK && page.text.contains("fleet-controller claim CODE"));
}

#[tokio::test]
async fn claims_are_counted_by_network_and_bounded() {
    let settings = ApiSettings {
        claims_per_minute: 3,
        polls_per_minute: 2,
        ..ApiSettings::default()
    };
    let fleet = FleetSettings {
        open_claims_of_network: 2,
        claim_life: Duration::ZERO,
        ..FleetSettings::default()
    };
    let app = App::with(fleet, settings).await;
    let ask = async |n: u8, peer: &str| {
        let body = claim(&format!("st_{n}"), &format!("web-{n}")).to_string();
        app.send(from_peer(
            request(Method::POST, "/api/v1/claims", &As::Nobody, Some(body)),
            peer,
        ))
        .await
    };
    *app.public_url.lock().unwrap() = Some("https://fleet.example.com/".to_owned());
    let first = ask(1, "192.0.2.1:9").await.json();
    assert_eq!(first["url"], "https://fleet.example.com/claim");
    let ended = poll(&app, &first["claim_id"], Some("st_1")).await;
    assert_eq!(
        (ended.status, ended.code().as_str()),
        (StatusCode::GONE, "claim_expired")
    );
    for n in [2, 3] {
        assert_eq!(
            ask(n, "192.0.2.1:9").await.status,
            StatusCode::CREATED,
            "what has ended makes room"
        );
    }
    let many = ask(4, "192.0.2.1:9").await;
    assert_eq!(
        (many.status, many.code().as_str()),
        (StatusCode::TOO_MANY_REQUESTS, "too_many_requests")
    );
    assert_eq!(ask(4, "192.0.2.2:9").await.status, StatusCode::CREATED);
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(poll(&app, &first["claim_id"], Some("st_1")).await.status);
    }
    assert_eq!(
        answers,
        [StatusCode::GONE, StatusCode::TOO_MANY_REQUESTS],
        "polls are counted too"
    );
    let wrong = app
        .post(
            "/api/v1/claims",
            &As::Nobody,
            json!({"token_sha256": "st_1", "name": "a", "kind": "k",
        "hostname": "h", "version": "1"}),
        )
        .await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", wrong.text);
}
