//! [`Credentials`]: what a member shows the others, and demands of them: certificates, a secret, or nothing.

use std::io::{Write, stdout};
use std::path::PathBuf;

use clap::Args;
use quorate::{Secret, Tcp};
use tokio::signal::unix::{SignalKind, signal};

/// Where the credentials are.
#[derive(Clone, Debug, Args)]
pub struct Credentials {
    /// This member's certificate, in PEM form, for the name node-ID.CLUSTER.quorate. With it, members talk TLS.
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "tls_ca"])]
    pub tls_cert: Option<PathBuf>,
    /// Its private key.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// The authority that signs the members' certificates. SIGHUP reads all three files again.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_ca: Option<PathBuf>,
    /// A secret that all members share, at least 16 bytes. Without TLS it keeps strangers out, and nobody from listening.
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
}

/// The credentials themselves.
#[derive(Clone, Default, Debug)]
pub struct Shown {
    secret: Option<Secret>,
    #[cfg(feature = "tls")]
    tls: Option<quorate::Tls>,
}

impl Credentials {
    /// Reads them.
    ///
    /// # Errors
    /// A sentence that says which file is wrong, and how.
    pub fn load(&self) -> Result<Shown, String> {
        let secret = self.secret_file.as_ref().map(Secret::from_file).transpose();
        let secret = secret.map_err(|error| error.to_string())?;
        #[cfg(feature = "tls")]
        {
            let files = (&self.tls_cert, &self.tls_key, &self.tls_ca);
            let (Some(certificate), Some(key), Some(authority)) = files else {
                return Ok(Shown { secret, tls: None });
            };
            let tls = quorate::Tls::from_files(certificate, key, authority);
            Ok(Shown { secret, tls: Some(tls.map_err(|error| error.to_string())?) })
        }
        #[cfg(not(feature = "tls"))]
        match self.tls_cert {
            None => Ok(Shown { secret }),
            Some(_) => {
                Err("this kv was built without TLS; build it with the feature tls, or leave --tls-cert out"
                    .into())
            }
        }
    }
}

impl Shown {
    /// Gives them to a transport.
    pub fn secure(self, mut transport: Tcp) -> Tcp {
        if let Some(secret) = self.secret {
            transport = transport.with_secret(secret);
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            transport = transport.with_tls(tls);
        }
        transport
    }

    /// Reads the certificates again at every SIGHUP, from now on.
    ///
    /// # Errors
    ///
    /// A sentence, if the system lets nobody listen for signals.
    pub fn reload_when_asked(self, id: u64) -> Result<(), String> {
        let mut asked = signal(SignalKind::hangup()).map_err(|error| format!("no signals: {error}"))?;
        tokio::spawn(async move {
            while asked.recv().await.is_some() {
                match self.reload() {
                    // Whoever started it may have stopped listening: no reason to stop.
                    Ok(what) => drop(writeln!(stdout(), "node {id}: {what}")),
                    Err(sentence) => eprintln!("kv: node {id}: {sentence}; it goes on with what it had"),
                }
            }
        });
        Ok(())
    }

    #[cfg_attr(
        not(feature = "tls"),
        allow(
            clippy::unused_self,
            clippy::unnecessary_wraps,
            reason = "with TLS there is something to read"
        )
    )]
    fn reload(&self) -> Result<&'static str, String> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            tls.reload().map_err(|error| error.to_string())?;
            return Ok("its certificates were read again");
        }
        Ok("it has no certificates that could be read again")
    }
}
