//! Routes as methods: one line a route, for the files that list a service's routes.

/// Declares methods that take a query, or a JSON body.
macro_rules! routes {
    ($($(#[$doc:meta])* $name:ident = $method:tt $path:literal;)*) => {
        impl Client {
            $(routes!(@one $(#[$doc])* $name $method $path);)*
        }
    };
    (@one $(#[$doc:meta])* $name:ident GET $path:literal) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// As [`Client::call`].
        pub fn $name(&self, query: &[(&str, String)]) -> Result<Reply, TransportError> {
            self.call("GET", $path, query, None)
        }
    };
    (@one $(#[$doc:meta])* $name:ident POST $path:literal) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// As [`Client::call`].
        pub fn $name(&self, body: &Value) -> Result<Reply, TransportError> {
            self.call("POST", $path, &[], Some(body))
        }
    };
}
