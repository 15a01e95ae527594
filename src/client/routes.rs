//! Routes as methods of the client: one line a route, with the path that the server declares.

/// Declares methods that take a query, or a JSON body, for routes that `http` declares.
macro_rules! routes {
    ($($(#[$doc:meta])* $name:ident = $method:tt $($route:ident)::+;)*) => {
        impl Client {
            $(routes!(@one $(#[$doc])* $name $method $($route)::+);)*
        }
    };
    (@one $(#[$doc:meta])* $name:ident GET $($route:ident)::+) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// As [`Client::call`].
        pub fn $name(&self, query: &[(&str, String)]) -> Result<Reply, TransportError> {
            self.call("GET", crate::http::$($route)::+.path, query, None)
        }
    };
    (@one $(#[$doc:meta])* $name:ident POST $($route:ident)::+) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// As [`Client::call`].
        pub fn $name(&self, body: &Value) -> Result<Reply, TransportError> {
            self.call("POST", crate::http::$($route)::+.path, &[], Some(body))
        }
    };
}
