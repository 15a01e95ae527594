//! What is asked about a user's passcode and standing: proving the one, changing it, and what operators do.

use super::{Directory, USER_ID, user_id};
use crate::actors::Caller;
use crate::actors::Refused;
use crate::actors::passcodes::{Attempt, Peer};
use crate::actors::request::failed;
use crate::domain::user::{ADDRESS_HASH_BYTES, User, UserCommand, check_passcode};
use crate::domain::{ErrorTag, Rejection};
use crate::projections::identity;

/// Purpose of the keyed hash under which it is known where a user signed in.
const ADDRESS_HASH: &str = "user-address";

impl Directory {
    /// The user with an address and a passcode.
    ///
    /// # Errors
    /// `invalid-passcode`, which never says what is wrong; `throttled` after too many wrong ones for the address, whether
    /// or not it is anybody's.
    pub async fn prove(&self, address: &str, passcode: &str, peer: Peer) -> Result<User, Refused> {
        let address = address.trim().to_lowercase();
        let name = self.signer.keyed_hash(USER_ID, address.as_bytes());
        let found = identity::user_by_email(self.store(), &address).map_err(failed)?;
        let user = match &found {
            Some(user_id) => identity::user(self.store(), user_id).map_err(failed)?,
            None => User::default(),
        };
        let hash = self.address_hash(&user.user_id, peer);
        let attempt = Attempt {
            name,
            peer,
            known: user.known.knows(&hash, self.deps.clock.now()),
        };
        let hash = (user.version > 0).then_some(user.passcode_hash.as_str());
        if self.passcodes.prove(attempt, passcode, hash).await? {
            return Ok(user);
        }
        Err(wrong_passcode().into())
    }

    /// The form in which it is kept that a user signed in from an address.
    pub(super) fn address_hash(&self, user_id: &str, peer: Peer) -> String {
        let address = peer.0.map(|address| address.to_string());
        let both = format!("{user_id} {}", address.unwrap_or_default());
        let hash = self.signer.keyed_hash(ADDRESS_HASH, both.as_bytes());
        hex::encode(&hash[..ADDRESS_HASH_BYTES])
    }

    /// The id of the user with an e-mail address, or the one that a user with it would get. Both are found in the same
    /// steps, so that neither an answer nor its time tells whether there is one. The row comes first: an id is made with a
    /// key file, and users from before that file was lost keep theirs.
    ///
    /// # Errors
    /// `invalid-input` for what cannot be an address; a failed read.
    pub fn user_id_of(&self, email: &str) -> Result<String, Refused> {
        let email = crate::domain::user::email(email)?;
        let made = user_id(&self.signer, &email);
        let found = identity::user_by_email(self.store(), &email).map_err(failed)?;
        Ok(found.unwrap_or(made))
    }

    /// Changes one's own passcode. Other sessions end.
    ///
    /// # Errors
    /// `invalid-input` that names `new_passcode`; as [`Directory::prove`].
    pub async fn change_passcode(
        &self,
        (old, new): (&str, &str),
        session_hash: &str,
        peer: Peer,
        caller: &Caller,
    ) -> Result<User, Refused> {
        let user = identity::user(self.store(), &caller.by).map_err(failed)?;
        check_new(new, &user.email)?;
        if old == new {
            let same = "new_passcode must differ from the old passcode.";
            return Err(Rejection::field("new_passcode", same).into());
        }
        let user = self.prove(&user.email, old, peer).await?;
        let change = UserCommand::ChangePasscode {
            passcode_hash: self.passcodes.hash(new, peer).await?,
            kept_session: session_hash.to_owned(),
            address_hash: Some(self.address_hash(&user.user_id, peer)),
            user_id: user.user_id,
        };
        self.user(change, caller).await
    }

    /// Sets a user's passcode, as an operator. All sessions end, and wrong passcodes are forgotten.
    ///
    /// # Errors
    /// `not-found`; `invalid-input` that names `passcode`.
    pub async fn reset_passcode(
        &self,
        user_id: &str,
        passcode: &str,
        peer: Peer,
        caller: &Caller,
    ) -> Result<User, Refused> {
        let user = identity::user(self.store(), user_id).map_err(failed)?;
        if user.version == 0 {
            return Err(Rejection::absent("There is no such user.").into());
        }
        check_passcode(passcode, &user.email)?;
        let reset = UserCommand::ResetPasscode {
            user_id: user.user_id,
            passcode_hash: self.passcodes.hash(passcode, peer).await?,
        };
        let user = self.user(reset, caller).await?;
        self.forget_wrong_passcodes(&user);
        Ok(user)
    }

    /// Clears the wrong passcodes counted for a user, as an operator, and admits the user from an address from now on as
    /// if the user had signed in from there.
    ///
    /// # Errors
    /// `not-found`.
    pub async fn lift_locks(
        &self,
        user_id: &str,
        address: Option<std::net::IpAddr>,
        caller: &Caller,
    ) -> Result<User, Refused> {
        let known = address.map(|address| self.address_hash(user_id, Peer(Some(address))));
        let lift = UserCommand::LiftLocks {
            user_id: user_id.to_owned(),
            address_hash: known,
        };
        let user = self.user(lift, caller).await?;
        self.forget_wrong_passcodes(&user);
        Ok(user)
    }

    fn forget_wrong_passcodes(&self, user: &User) {
        let name = self.signer.keyed_hash(USER_ID, user.email.as_bytes());
        self.passcodes.lift(&name);
    }
}

fn check_new(new: &str, email: &str) -> Result<(), Rejection> {
    check_passcode(new, email).map_err(|rejection| {
        let text = rejection.message.replacen("passcode", "new_passcode", 1);
        Rejection::field("new_passcode", text)
    })
}

pub(super) fn wrong_passcode() -> Rejection {
    Rejection::new(
        ErrorTag::InvalidPasscode,
        "The e-mail address or the passcode is wrong; an operator can set another passcode.",
    )
}
