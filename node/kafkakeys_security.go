package node

// encryptionKeys are about TLS.
func encryptionKeys() []kafkaKey {
	return family(KafkaRefused, "there is no TLS yet: every listener is PLAINTEXT. Listen where only trusted hosts can reach, or behind a proxy that encrypts", `
		security.providers string
		ssl.allow.dn.changes boolean false
		ssl.allow.san.changes boolean false
		ssl.cipher.suites list
		ssl.client.auth string none
		ssl.enabled.protocols list TLSv1.2,TLSv1.3
		ssl.endpoint.identification.algorithm string https
		ssl.engine.factory.class class
		ssl.key.password password
		ssl.keymanager.algorithm string SunX509
		ssl.keystore.certificate.chain password
		ssl.keystore.key password
		ssl.keystore.location string
		ssl.keystore.password password
		ssl.keystore.type string JKS
		ssl.principal.mapping.rules string DEFAULT
		ssl.protocol string TLSv1.3
		ssl.provider string
		ssl.secure.random.implementation string
		ssl.trustmanager.algorithm string PKIX
		ssl.truststore.certificates password
		ssl.truststore.location string
		ssl.truststore.password password
		ssl.truststore.type string JKS`)
}

// authenticationKeys are about SASL, tokens and who a client is.
func authenticationKeys() []kafkaKey {
	return family(KafkaRefused, "there is no authentication yet: every client is ANONYMOUS. Listen where only trusted hosts can reach", `
		connection.failed.authentication.delay.ms int 100
		connections.max.reauth.ms long 0
		delegation.token.expiry.check.interval.ms long 3600000
		delegation.token.expiry.time.ms long 86400000
		delegation.token.max.lifetime.ms long 604800000
		delegation.token.secret.key password
		principal.builder.class class org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder
		sasl.client.callback.handler.class class
		sasl.enabled.mechanisms list GSSAPI
		sasl.jaas.config password
		sasl.kerberos.kinit.cmd string /usr/bin/kinit
		sasl.kerberos.min.time.before.relogin long 60000
		sasl.kerberos.principal.to.local.rules list DEFAULT
		sasl.kerberos.service.name string
		sasl.kerberos.ticket.renew.jitter double 0.05
		sasl.kerberos.ticket.renew.window.factor double 0.8
		sasl.login.callback.handler.class class
		sasl.login.class class
		sasl.login.connect.timeout.ms int
		sasl.login.read.timeout.ms int
		sasl.login.refresh.buffer.seconds short 300
		sasl.login.refresh.min.period.seconds short 60
		sasl.login.refresh.window.factor double 0.8
		sasl.login.refresh.window.jitter double 0.05
		sasl.login.retry.backoff.max.ms long 10000
		sasl.login.retry.backoff.ms long 100
		sasl.oauthbearer.assertion.algorithm string RS256
		sasl.oauthbearer.assertion.claim.aud string
		sasl.oauthbearer.assertion.claim.exp.seconds int 300
		sasl.oauthbearer.assertion.claim.iss string
		sasl.oauthbearer.assertion.claim.jti.include boolean false
		sasl.oauthbearer.assertion.claim.nbf.seconds int 60
		sasl.oauthbearer.assertion.claim.sub string
		sasl.oauthbearer.assertion.file string
		sasl.oauthbearer.assertion.private.key.file string
		sasl.oauthbearer.assertion.private.key.passphrase password
		sasl.oauthbearer.assertion.template.file string
		sasl.oauthbearer.client.credentials.client.id string
		sasl.oauthbearer.client.credentials.client.secret password
		sasl.oauthbearer.clock.skew.seconds int 30
		sasl.oauthbearer.expected.audience list
		sasl.oauthbearer.expected.issuer string
		sasl.oauthbearer.jwks.endpoint.refresh.ms long 3600000
		sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms long 10000
		sasl.oauthbearer.jwks.endpoint.retry.backoff.ms long 100
		sasl.oauthbearer.jwks.endpoint.url string
		sasl.oauthbearer.jwt.retriever.class class org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever
		sasl.oauthbearer.jwt.validator.class class org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator
		sasl.oauthbearer.scope string
		sasl.oauthbearer.scope.claim.name string scope
		sasl.oauthbearer.sub.claim.name string sub
		sasl.oauthbearer.token.endpoint.url string
		sasl.server.callback.handler.class class
		sasl.server.max.receive.size int 524288`)
}
