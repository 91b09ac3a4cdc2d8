//! Signing in, passwords, users and what each role may do.

use std::time::{Duration, Instant};

use cnnf_rpc::v1;
use tonic::Code;

use crate::place::Place;
use crate::web::Page;

const GOOD: &str = "correct horse battery";

fn sign_in(page: &mut Page<'_>, user: &str, password: &str) -> Result<v1::Session, Code> {
    let request = v1::SignInRequest { user: user.to_owned(), password: password.to_owned() };
    page.call("SessionService/SignIn", &request)
}

fn change(page: &mut Page<'_>, current: &str, new: &str) -> Result<v1::Session, Code> {
    let request = v1::ChangePasswordRequest { current: current.to_owned(), new: new.to_owned() };
    page.call("SessionService/ChangePassword", &request)
}

fn status(page: &mut Page<'_>) -> Result<v1::Status, Code> {
    page.call("StatusService/GetStatus", &v1::GetStatusRequest {})
}

/// A page whose user is this one, with a password of their own.
pub(crate) fn signed_in<'a>(place: &'a Place, user: &str, first: &str) -> Page<'a> {
    let mut page = Page::new(place);
    sign_in(&mut page, user, first).expect("signed in");
    change(&mut page, first, GOOD).expect("changed");
    page
}

#[test]
fn the_first_password_must_be_changed_before_anything_else() {
    let place = Place::new();
    let mut page = Page::new(&place);
    assert_eq!(status(&mut page), Err(Code::Unauthenticated));
    let options: v1::SignInOptions =
        page.call("SessionService/GetSignInOptions", &v1::GetSignInOptionsRequest {}).expect("anybody may ask");
    assert!(!options.oidc);
    assert_eq!(sign_in(&mut page, "admin", "wrong"), Err(Code::Unauthenticated));
    assert_eq!(sign_in(&mut page, "nobody", &place.password), Err(Code::Unauthenticated));
    assert_eq!(page.cookie, None);
    let session = sign_in(&mut page, "admin", &place.password).expect("signed in");
    assert!(session.must_change_password && session.role == "admin" && session.user == "admin");
    assert_eq!(status(&mut page), Err(Code::PermissionDenied));
    assert_eq!(change(&mut page, "wrong", GOOD), Err(Code::InvalidArgument));
    assert_eq!(change(&mut page, &place.password, "short"), Err(Code::InvalidArgument));
    assert_eq!(change(&mut page, &place.password, &place.password), Err(Code::InvalidArgument));
    let session = change(&mut page, &place.password, GOOD).expect("changed");
    assert!(!session.must_change_password);
    let session: v1::Session = page.call("SessionService/GetSession", &v1::GetSessionRequest {}).expect("a session");
    assert!(!session.must_change_password && session.expires.is_some());
    assert!(status(&mut page).is_ok());
    let mut other = Page::new(&place);
    assert_eq!(sign_in(&mut other, "admin", &place.password), Err(Code::Unauthenticated), "it was for one time");
}

#[test]
fn a_session_ends_where_its_user_says_and_over_no_restart() {
    let mut place = Place::new();
    let mut cookie = {
        let mut page = signed_in(&place, "admin", &place.password);
        let mut other = Page::new(&place);
        sign_in(&mut other, "admin", GOOD).expect("signed in");
        assert!(status(&mut other).is_ok());
        change(&mut page, GOOD, "another horse battery").expect("changed");
        assert_eq!(status(&mut other), Err(Code::Unauthenticated), "a new password ends the other sessions");
        page.cookie
    };
    place.kill();
    place.start();
    let mut page = Page::new(&place);
    page.cookie.clone_from(&cookie);
    assert!(status(&mut page).is_ok(), "a session lives over a restart");
    let _: v1::SignOutResponse = page.call("SessionService/SignOut", &v1::SignOutRequest {}).expect("signed out");
    assert_eq!(page.cookie.take().as_deref(), Some("__Host-cnnf="));
    page.cookie = cookie.take();
    assert_eq!(status(&mut page), Err(Code::Unauthenticated), "a cookie is not good for a second time");
    page.cookie = Some("__Host-cnnf=".to_owned());
    assert_eq!(status(&mut page), Err(Code::Unauthenticated));
}

#[test]
fn a_stream_ends_with_its_session() {
    let place = Place::new();
    let mut page = signed_in(&place, "admin", &place.password);
    let mut other = Page::new(&place);
    sign_in(&mut other, "admin", GOOD).expect("signed in");
    let (took, answer) = std::thread::scope(|scope| {
        let (cookie, place) = (page.cookie.clone(), &place);
        let stream = scope.spawn(move || {
            let mut page = Page::new(place);
            page.cookie = cookie;
            let kind = "application/grpc-web+proto";
            page.answer(kind, "WatchService/WatchChanges", &v1::WatchChangesRequest::default())
        });
        // Longer than the stream would live if it ended by itself.
        std::thread::sleep(Duration::from_millis(2500));
        assert!(!stream.is_finished(), "it lasts as long as the session");
        let began = Instant::now();
        let _: v1::SignOutResponse = page.call("SessionService/SignOut", &v1::SignOutRequest {}).expect("signed out");
        let answer = stream.join().expect("answered");
        (began.elapsed(), answer)
    });
    let (message, code) = answer.result();
    assert!(!message.is_empty(), "there was a stream");
    assert_eq!(code, Code::Unauthenticated);
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(status(&mut other).is_ok(), "another session of the same user goes on");
}

#[test]
fn a_cookie_counts_for_our_own_page_only() {
    let place = Place::new();
    let mut page = signed_in(&place, "admin", &place.password);
    let ours = page.headers.clone();
    for others in [
        vec![],
        vec!["origin: https://evil.example".to_owned()],
        vec![ours[0].clone(), "sec-fetch-site: cross-site".to_owned()],
        vec!["sec-fetch-site: same-site".to_owned()],
    ] {
        page.headers.clone_from(&others);
        assert_eq!(status(&mut page), Err(Code::PermissionDenied), "{others:?}");
    }
    page.headers = ours;
    let request = v1::GetStatusRequest {};
    assert!(page.call_as::<v1::Status>("application/grpc-web", "StatusService/GetStatus", &request).is_ok());
}

#[test]
fn sign_in_is_tried_ten_times_and_then_slowly() {
    let place = Place::new();
    let mut page = Page::new(&place);
    let tries: Vec<_> = (0..12).map(|_| sign_in(&mut page, "admin", "wrong").expect_err("wrong")).collect();
    assert!(tries.iter().take(10).all(|code| *code == Code::Unauthenticated), "{tries:?}");
    assert_eq!(tries.last(), Some(&Code::ResourceExhausted));
    assert_eq!(sign_in(&mut page, "admin", &place.password), Err(Code::ResourceExhausted));
}

#[test]
fn users_are_added_changed_and_deleted() {
    let place = Place::new();
    let mut admin = signed_in(&place, "admin", &place.password);
    let add = |page: &mut Page<'_>, name: &str, role: &str, password: &str| {
        let (name, role, password) = (name.to_owned(), role.to_owned(), password.to_owned());
        page.call::<v1::User>("UserService/AddUser", &v1::AddUserRequest { name, role, password })
    };
    let user = add(&mut admin, "jo", "auditor", "first password of jo").expect("added");
    assert!(user.must_change_password && user.created.is_some() && user.last_sign_in.is_none());
    assert_eq!(add(&mut admin, "jo", "auditor", "first password of jo"), Err(Code::AlreadyExists));
    for (name, role, password) in
        [("j o", "auditor", GOOD), ("ann", "king", GOOD), ("ann", "admin", "short"), ("ann", "admin", "")]
    {
        assert_eq!(add(&mut admin, name, role, password), Err(Code::InvalidArgument), "{name} {role}");
    }
    let mut jo = signed_in(&place, "jo", "first password of jo");
    assert!(status(&mut jo).is_ok());
    assert_eq!(add(&mut jo, "eve", "admin", GOOD), Err(Code::PermissionDenied));
    let update =
        |page: &mut Page<'_>, request: v1::UpdateUserRequest| page.call::<v1::User>("UserService/UpdateUser", &request);
    let named = |name: &str| v1::UpdateUserRequest { name: name.to_owned(), ..v1::UpdateUserRequest::default() };
    let set = |page: &mut Page<'_>| {
        let request = v1::SetSettingRequest { name: "learn_for".to_owned(), value: "1h".to_owned() };
        page.call::<v1::Settings>("SettingsService/SetSetting", &request).map(drop)
    };
    assert_eq!(set(&mut jo), Err(Code::PermissionDenied));
    update(&mut admin, v1::UpdateUserRequest { role: Some("admin".to_owned()), ..named("jo") }).expect("promoted");
    assert_eq!(set(&mut jo), Ok(()), "a role counts at once");
    update(&mut jo, v1::UpdateUserRequest { role: Some("operator".to_owned()), ..named("jo") }).expect("demoted");
    assert_eq!(set(&mut jo), Err(Code::PermissionDenied));
    let last = v1::UpdateUserRequest { role: Some("operator".to_owned()), ..named("admin") };
    assert_eq!(update(&mut admin, last), Err(Code::FailedPrecondition));
    let last = v1::UpdateUserRequest { disabled: Some(true), ..named("admin") };
    assert_eq!(update(&mut admin, last), Err(Code::FailedPrecondition));
    update(&mut admin, v1::UpdateUserRequest { disabled: Some(true), ..named("jo") }).expect("disabled");
    assert_eq!(status(&mut jo), Err(Code::Unauthenticated));
    update(&mut admin, v1::UpdateUserRequest { disabled: Some(false), ..named("jo") }).expect("enabled");
    assert_eq!(status(&mut jo), Err(Code::Unauthenticated), "the session has ended");
    let again = v1::UpdateUserRequest { password: Some("second password of jo".to_owned()), ..named("jo") };
    assert!(update(&mut admin, again).expect("reset").must_change_password);
    let mut jo = signed_in(&place, "jo", "second password of jo");
    let delete = |page: &mut Page<'_>, name: &str| {
        let request = v1::DeleteUserRequest { name: name.to_owned() };
        page.call::<v1::DeleteUserResponse>("UserService/DeleteUser", &request).map(drop)
    };
    assert_eq!(delete(&mut admin, "admin"), Err(Code::FailedPrecondition));
    assert_eq!(delete(&mut admin, "none"), Err(Code::NotFound));
    assert_eq!(delete(&mut admin, "jo"), Ok(()));
    assert_eq!(status(&mut jo), Err(Code::Unauthenticated));
    let users: v1::ListUsersResponse = admin.call("UserService/ListUsers", &v1::ListUsersRequest {}).expect("users");
    let names: Vec<&str> = users.users.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, ["admin"]);
    assert!(users.users[0].last_sign_in.is_some());
}
