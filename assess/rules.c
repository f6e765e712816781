#include "rules.h"

#include "lib/base/base.h"

/* What may stand after a token: a quote, a blank, a separator, or the end. */
#define END "(?:[\\x60'\"\\s;,)\\]}<]|\\\\[nrt]|$)"
/* `name = value`, `name: value`, `name => value`, with or without quotes. */
#define ASSIGN "[\\w.-]{0,30}[\"'\\]]{0,2}[ \\t]{0,4}(?:=>|:=|=|:|,)[ \\t]{0,4}[\"'\\x60=]{0,3}"

const struct rule assess_rules[] = {
    /* clouds */
    {"aws-access-key", "AWS access key of a user", "akia abia acca a3t", "\\b((?:A3T[A-Z0-9]|AKIA|ABIA|ACCA)[A-Z2-7]{16})\\b", 3000,
     RULE_CLOUD_KEY, "EXAMPLE$"},
    {"aws-session-key", "AWS temporary access key", "asia", "\\b(ASIA[A-Z2-7]{16})\\b", 3000, 0, "EXAMPLE$"},
    {"aws-secret-key", "AWS secret access key", "secret_access_key secretaccesskey aws_secret",
     "(?i)aws_?(?:secret_?)?(?:access_?)?(?:secret|key)" ASSIGN "([A-Za-z0-9/+]{40})" END, 4000, RULE_CLOUD_KEY, "(?i)example"},
    {"aws-bedrock-key", "AWS Bedrock long-lived API key", "absk", "\\b(ABSK[A-Za-z0-9+/]{109,269}={0,2})" END, 3000, RULE_CLOUD_KEY, NULL},
    {"gcp-service-account", "Google service account key", "service_account", "\"type\"\\s{0,4}:\\s{0,4}\"service_account\"", 0,
     RULE_CLOUD_KEY, NULL},
    {"gcp-api-key", "Google API key", "aiza", "\\b(AIza[\\w-]{35})" END, 4000, RULE_CLOUD_KEY, NULL},
    {"azure-client-secret", "Entra ID client secret", "q~", "(?:^|[\\\\'\"\\x60\\s>=:(,)])([a-zA-Z0-9_~.]{3}\\dQ~[a-zA-Z0-9_~.-]{31,34})(?:$|[\\\\'\"\\x60\\s<),])",
     3000, RULE_CLOUD_KEY, NULL},
    {"azure-storage-key", "Azure storage account key", "accountkey=", "AccountKey=([A-Za-z0-9+/]{86}==)", 4000, RULE_CLOUD_KEY, NULL},
    {"alibaba-access-key", "Alibaba Cloud access key", "ltai", "\\b(LTAI[a-zA-Z0-9]{20})" END, 3000, RULE_CLOUD_KEY, NULL},
    {"digitalocean-token", "DigitalOcean token", "dop_v1_ doo_v1_ dor_v1_", "\\b(do[opr]_v1_[a-f0-9]{64})" END, 3000, RULE_CLOUD_KEY, NULL},
    {"fly-token", "Fly.io token", "fo1_ fm1 fm2_", "\\b((?:fo1_[\\w-]{43}|fm1[ar]_[a-zA-Z0-9+/]{100,}={0,3}|fm2_[a-zA-Z0-9+/]{100,}={0,3}))" END, 4000,
     RULE_CLOUD_KEY, NULL},
    {"heroku-key", "Heroku API key", "hrku-", "\\b(HRKU-AA[0-9a-zA-Z_-]{58})" END, 4000, RULE_CLOUD_KEY, NULL},
    /* secret managers and platforms */
    {"vault-service-token", "Vault token", "hvs. s.", "\\b((?:hvs\\.[\\w-]{90,120}|s\\.[a-zA-Z0-9]{24}))" END, 3500, RULE_ADMIN, "^s\\.[A-Za-z]{24}$"},
    {"vault-batch-token", "Vault batch token", "hvb.", "\\b(hvb\\.[\\w-]{138,300})" END, 4000, 0, NULL},
    {"vault-unseal-key", "Vault unseal key", "unseal", "(?i)unseal[ _-]?key[ \\w]{0,4}" ASSIGN "([A-Za-z0-9+/]{43,44}={0,2})" END, 4200, RULE_ADMIN, NULL},
    {"terraform-cloud-token", "Terraform Cloud token", "atlasv1", "(?i)\\b([a-z0-9]{14}\\.atlasv1\\.[a-z0-9_=-]{60,70})", 3500, RULE_ADMIN, NULL},
    {"1password-token", "1Password service account token", "ops_", "\\b(ops_eyJ[a-zA-Z0-9+/]{250,}={0,3})", 4000, 0, NULL},
    {"doppler-token", "Doppler token", "dp.pt.", "\\b(dp\\.pt\\.[a-zA-Z0-9]{43})\\b", 2000, 0, NULL},
    {"kubernetes-token", "Kubernetes service account token type", "service-account-token", "type:[ \\t]*[\"']?(kubernetes\\.io/service-account-token)", 0,
     RULE_CLOUD_KEY, NULL},
    {"openshift-token", "OpenShift user token", "sha256~", "\\b(sha256~[\\w-]{43})" END, 3500, RULE_ADMIN, NULL},
    {"age-key", "age secret key", "age-secret-key-", "\\b(AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58})\\b", 0, 0, NULL},
    {"private-key", "private key", "-----begin", "(?i)-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----[\\s\\S-]{64,}?KEY(?: BLOCK)?-----", 0, 0, NULL},
    {"pkcs12-password", "PKCS#12 password in a command", "-passout -passin", "-pass(?:in|out)[ =]pass:([^\\s\"'$]{6,})", 2500, RULE_GENERIC, NULL},
    /* source and build */
    {"github-token", "GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", "\\b(gh[pousr]_[0-9a-zA-Z]{36})\\b", 3000, RULE_ADMIN, NULL},
    {"github-fine-grained", "GitHub fine-grained token", "github_pat_", "\\b(github_pat_\\w{82})\\b", 3000, RULE_ADMIN, NULL},
    {"gitlab-token", "GitLab token", "glpat- glptt- glrt- gldt- glcbt- glsoat- glft- glimt- glagent-",
     "\\b((?:glpat|gldt|glft|glsoat|glimt|glrt|glcbt|glagent|glptt)-[0-9a-zA-Z_.-]{20,64})" END, 3000, RULE_ADMIN, NULL},
    {"gitlab-runner-token", "GitLab runner registration token", "gr1348941", "\\b(GR1348941[\\w-]{20})\\b", 3000, 0, NULL},
    {"npm-token", "npm token", "npm_", "\\b(npm_[a-zA-Z0-9]{36})\\b", 3000, 0, NULL},
    {"pypi-token", "PyPI token", "pypi-ageichlwas", "\\b(pypi-AgEIcHlwaS5vcmc[\\w-]{50,1000})", 3000, 0, NULL},
    {"rubygems-token", "RubyGems token", "rubygems_", "\\b(rubygems_[a-f0-9]{48})\\b", 2000, 0, NULL},
    {"artifactory-key", "Artifactory API key", "akcp", "\\b(AKCp[A-Za-z0-9]{69})\\b", 4500, 0, NULL},
    {"pulumi-token", "Pulumi token", "pul-", "(?:^|[\\s\"'=:(])(pul-[a-f0-9]{40})" END, 2000, RULE_ADMIN, NULL},
    {"sourcegraph-token", "Sourcegraph token", "sgp_ sourcegraph", "(?i)\\b(sgp_(?:[a-f0-9]{16}|local)_[a-f0-9]{40}|sgp_[a-f0-9]{40})\\b", 3000, 0, NULL},
    {"octopus-key", "Octopus Deploy API key", "api-", "\\b(API-[A-Z0-9]{26})" END, 3000, 0, NULL},
    {"prefect-token", "Prefect token", "pnu_", "\\b(pnu_[a-zA-Z0-9]{36})\\b", 2000, 0, NULL},
    {"databricks-token", "Databricks token", "dapi", "\\b(dapi[a-f0-9]{32}(?:-\\d)?)" END, 3000, RULE_ADMIN, NULL},
    {"grafana-token", "Grafana token", "glsa_ glc_", "\\b(glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|glc_[A-Za-z0-9+/]{32,400}={0,3})" END, 3000, 0, NULL},
    {"sidekiq-credentials", "Sidekiq credentials in a URL", "contribsys.com", "(?i)\\bhttps?://([a-f0-9]{8}:[a-f0-9]{8})@(?:gems|enterprise)\\.contribsys\\.com", 0, 0,
     NULL},
    /* chat, mail, payment, models */
    {"slack-token", "Slack token", "xoxb- xoxp- xoxa- xoxr- xoxe xapp-",
     "\\b(xox[bp]-[0-9]{10,13}-[0-9]{10,13}(?:-[0-9]{10,13})?-[a-zA-Z0-9]{24,34}|xox[ar]-(?:\\d-)?[0-9a-zA-Z]{8,48}|xoxe(?:\\.xox[bp])?-\\d-[A-Za-z0-9]{140,170}|"
     "xapp-\\d-[A-Z0-9]+-\\d+-[a-z0-9]+)" END, 2500, 0, NULL},
    {"slack-webhook", "Slack webhook", "hooks.slack.com", "hooks\\.slack\\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/]{43,56})", 2500, 0, NULL},
    {"discord-webhook", "Discord webhook", "discord.com/api/webhooks discordapp.com/api/webhooks", "discord(?:app)?\\.com/api/webhooks/(\\d{17,20}/[\\w-]{60,80})", 3000,
     0, NULL},
    {"sendgrid-key", "SendGrid key", "sg.", "\\b(SG\\.[\\w-]{22}\\.[\\w-]{43})" END, 3000, 0, NULL},
    {"mailgun-key", "Mailgun key", "mailgun", "(?i)mailgun" ASSIGN "(key-[a-f0-9]{32}|[a-f0-9]{32}-[a-f0-9]{8}-[a-f0-9]{8})" END, 3000, 0, NULL},
    {"stripe-key", "Stripe secret key", "sk_live_ rk_live_ sk_test_ rk_test_", "\\b([rs]k_(?:live|test|prod)_[a-zA-Z0-9]{10,99})" END, 2500, 0, NULL},
    {"square-token", "Square token", "eaaa sq0atp-", "\\b(sq0atp-[\\w-]{22}|EAAA[\\w-]{60})" END, 3000, 0, NULL},
    {"twilio-key", "Twilio key", "sk", "\\b(SK[0-9a-f]{32})\\b", 3000, 0, NULL},
    {"openai-key", "OpenAI key", "t3blbkfj", "\\b(sk-(?:proj-|svcacct-|admin-)?[\\w-]{20,80}T3BlbkFJ[\\w-]{20,80})" END, 3000, 0, NULL},
    {"anthropic-key", "Anthropic key", "sk-ant-", "\\b(sk-ant-(?:api03|admin01)-[\\w-]{93}AA)" END, 3000, 0, NULL},
    {"huggingface-token", "Hugging Face token", "hf_ api_org_", "\\b(hf_[a-zA-Z]{34}|api_org_[a-zA-Z]{34})" END, 3500, 0, NULL},
    {"perplexity-key", "Perplexity key", "pplx-", "\\b(pplx-[a-zA-Z0-9]{48})" END, 4000, 0, NULL},
    {"notion-token", "Notion token", "ntn_", "\\b(ntn_[0-9]{11}[A-Za-z0-9]{35})" END, 4000, 0, NULL},
    {"postman-key", "Postman key", "pmak-", "\\b(PMAK-[a-f0-9]{24}-[a-f0-9]{34})" END, 3000, 0, NULL},
    {"shopify-token", "Shopify token", "shpat_ shpca_ shppa_ shpss_", "\\b(shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32})\\b", 2000, 0, NULL},
    {"newrelic-key", "New Relic key", "nrak- nrjs- nrii-", "\\b(NRAK-[A-Z0-9]{27}|NRII-[\\w-]{32})" END, 3000, 0, NULL},
    {"dynatrace-token", "Dynatrace token", "dt0c01.", "\\b(dt0c01\\.[A-Z0-9]{24}\\.[A-Z0-9]{64})\\b", 4000, 0, NULL},
    {"intra42-secret", "42 API client secret", "s-s4t2", "\\b(s-s4t2(?:ud|af)-[abcdef0123456789]{64})\\b", 3000, 0, NULL},
    {"facebook-token", "Facebook token", "facebook eaam eaac", "(?:(?i:facebook)[\\s\\S]{0,40}?\\b(\\d{15,16}\\|[\\w-]{27,40})|\\b(EAA[MC][a-zA-Z0-9]{100,}))" END, 3000,
     0, NULL},
    /* credentials in addresses and commands */
    {"database-url", "database password in a URL", "://", "\\b(?:postgres(?:ql)?|mysql|mariadb|mongodb(?:\\+srv)?|redis|rediss|amqps?|mssql|clickhouse|cockroachdb)://"
     "[^\\s:/@\"'<>{}$]{0,64}:([^\\s:/@\"'<>{}$*]{3,128})@", 0, RULE_DATABASE, "(?i)^(?:pass(?:word)?|pwd|secret|changeme|example|user|xxx+|\\*+)$"},
    {"basic-auth-url", "password in a URL", "://", "\\b(?:https?|ftps?|git|ssh)://[^\\s:/@\"'<>{}$]{1,64}:([^\\s:/@\"'<>{}$*]{8,128})@[\\w.-]+", 2500, RULE_GENERIC,
     "(?i)^(?:pass(?:word)?|pwd|token|secret|changeme|x-oauth-basic|[a-f0-9]{8})$"},
    {"curl-basic-auth", "password in a curl command", "curl", "\\bcurl\\b[^\\n]*(?:\\\\\\r?\\n[^\\n]*){0,5}[ \\t](?:-u|--user)(?:=|[ \\t]{0,5})[\"']?([\\w@.-]*:[^\\s\"'$<>{}\\[(]{4,}(?:\\$\\d[^\\s\"']*)?)",
     2000, RULE_LOOSE, "(?i):(?:change(?:it|me)|pass(?:word)?|pwd|test|token|\\*+|x+)$"},
    {"curl-bearer", "token in a curl command", "curl", "\\bcurl\\b[^\\n]*(?:\\\\\\r?\\n[^\\n]*){0,5}(?:-H|--header)(?:=|[ \\t]{0,5})[\"'](?i:(?:authorization[ \\t]*:[ \\t]*(?:(?:basic|bearer|(?:api-)?token)[ \\t]+)?|"
     "[\\w-]*(?:token|key)[ \\t]*:[ \\t]*))([\\w=+/.@~-]{8,})[\"']", 2750, RULE_LOOSE, NULL},
    {"jwt", "JSON Web Token", "ey", "\\b(ey[a-zA-Z0-9]{17,}\\.ey[a-zA-Z0-9/_-]{17,}\\.(?:[a-zA-Z0-9/_-]{10,}={0,2})?)" END, 3000, RULE_JWT, NULL},
    /* anything assigned to a name that says so */
    {"generic-secret", "value assigned to a secret's name", "password passwd secret token apikey api_key api-key credential private_key",
     "(?i)(?:passw(?:or)?d|passphrase|secret|(?:auth|access|bearer|refresh)[_-]?token|api[_-]?key|private[_-]?key|credentials?)"
     ASSIGN "([\\w.=+/~!@#%^&-]{10,150})[\\x60'\"\\s;]", 3700, RULE_GENERIC, NULL},
};

const size_t assess_n_rules = ARRAY_LEN(assess_rules);
