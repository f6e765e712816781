/*
 * Which controls of which framework each function of a zero trust system answers. Our own reading.
 *
 * PCI DSS numbers are those of 4.0 and 4.0.1; NIST CSF ids are those of version 2.0, which renumbered
 * most of 1.1; HIPAA 164.316(b)(2)(i) is the six years that documentation is kept.
 */
#include "report.h"

const char *const framework_ids[FRAMEWORK_MAX] = {"soc2",     "iso27001",    "pci",      "hipaa",
                                                  "nist-csf", "nist-800-53", "cisa-ztmm"};

const char *const framework_titles[FRAMEWORK_MAX] = {
    "SOC 2 (TSC 2017)", "ISO/IEC 27001:2022 Annex A", "PCI DSS 4.0.1", "HIPAA 45 CFR 164",
    "NIST CSF 2.0",     "NIST SP 800-53 rev. 5",      "CISA ZTMM 2.0"};

const struct control_map control_maps[FUNCTION_MAX] = {
    {"authentication",
     {"CC6.1 CC6.2 CC6.6", "A.5.16 A.5.17 A.8.5",
      "8.2.1 8.2.2 8.3.1 8.3.2 8.4.1 8.4.2 8.4.3 8.5.1 8.6.1",
      "164.312(a)(2)(i) 164.312(d) 164.308(a)(5)(ii)(D)", "PR.AA-01 PR.AA-02 PR.AA-03 PR.AA-04",
      "IA-2 IA-2(1) IA-2(2) IA-3 IA-4 IA-5 IA-8 IA-9 IA-11 AC-12",
      "Identity: Authentication; Identity: Identity Stores; Identity: Risk Assessments"},
     {GATE_WORKLOAD_IDENTITY},
     1},
    {"authorization",
     {"CC6.1 CC6.3 CC5.2", "A.5.3 A.5.15 A.5.18 A.8.2 A.8.3 A.8.4",
      "7.2.1 7.2.2 7.2.3 7.2.4 7.2.5 7.2.5.1 7.2.6 7.3.1 7.3.2 7.3.3",
      "164.312(a)(1) 164.308(a)(4)(ii)(B) 164.308(a)(4)(ii)(C) 164.308(a)(3)(ii)(A)", "PR.AA-05",
      "AC-2 AC-3 AC-4 AC-5 AC-6 AC-16 AC-24 AC-25",
      "Identity: Access Management; Applications and Workloads: Application Access; Data: "
      "Data Access; Governance"},
     {GATE_POLICY_TESTS},
     1},
    {"secrets",
     {"CC6.1 CC6.2 CC6.3", "A.5.17 A.8.2 A.8.4 A.8.9 A.8.24",
      "3.6.1 3.6.1.1 3.6.1.2 3.6.1.3 3.6.1.4 3.7.1 3.7.4 3.7.5 3.7.6 8.3.2 8.6.1 8.6.2 "
      "8.6.3 6.2.4 2.2.2",
      "164.312(a)(2)(iv) 164.308(a)(5)(ii)(D)", "PR.AA-01 PR.DS-01 PR.PS-01",
      "IA-5 IA-5(1) IA-5(2) IA-5(7) SC-12 SC-12(1) SC-28(3) CM-6",
      "Identity: Identity Stores; Applications and Workloads: Secure Application "
      "Development and Deployment Workflow"},
     {GATE_TREE_CLEAN, GATE_HISTORY_CLEAN, GATE_SECRET_MANAGER, GATE_ROTATION},
     4},
    {"encryption",
     {"CC6.1 CC6.7 C1.1", "A.8.24 A.5.14 A.8.11 A.8.12",
      "2.2.7 3.5.1 3.5.1.1 3.5.1.2 3.7.1 4.2.1 4.2.1.1 4.2.1.2 12.3.3",
      "164.312(a)(2)(iv) 164.312(e)(1) 164.312(e)(2)(i) 164.312(e)(2)(ii) 164.312(c)(1)",
      "PR.DS-01 PR.DS-02 PR.DS-10", "SC-8 SC-8(1) SC-12 SC-13 SC-17 SC-23 SC-28 SC-28(1)",
      "Networks: Traffic Encryption; Data: Data Encryption"},
     {GATE_MTLS_STRICT},
     1},
    {"audit",
     {"CC7.1 CC7.2 CC7.3 CC7.4 CC7.5 CC4.1",
      "A.5.24 A.5.25 A.5.26 A.5.27 A.5.28 A.5.33 A.6.8 A.8.15 A.8.16 A.8.17",
      "10.2.1 10.2.1.1 10.2.1.2 10.2.1.3 10.2.1.4 10.2.1.5 10.2.1.6 10.2.1.7 10.2.2 10.3.1 "
      "10.3.2 10.3.3 10.3.4 10.4.1 10.4.1.1 10.4.2 10.4.3 10.5.1 10.6.1 10.6.2 10.6.3 "
      "10.7.1 10.7.2 10.7.3 12.10.1 12.10.5",
      "164.312(b) 164.312(c)(2) 164.308(a)(1)(ii)(D) 164.308(a)(5)(ii)(C) 164.308(a)(6)(ii) "
      "164.316(b)(2)(i)",
      "PR.PS-04 DE.CM-01 DE.CM-03 DE.CM-06 DE.CM-09 DE.AE-02 DE.AE-03 DE.AE-04 DE.AE-06 "
      "DE.AE-07 DE.AE-08 RS.MA-01 RS.AN-03 RS.AN-06 RS.AN-07 RS.MI-01 RS.MI-02",
      "AU-2 AU-3 AU-4 AU-5 AU-6 AU-7 AU-8 AU-9 AU-9(2) AU-9(3) AU-10 AU-11 AU-12 SI-4 IR-4 "
      "IR-4(1) IR-5 IR-6",
      "Visibility and Analytics (all pillars); Automation and Orchestration (all pillars)"},
     {GATE_AUDIT_PROOF, GATE_DETECTION_TESTS},
     2},
    {"network",
     {"CC6.6 CC6.7 CC6.8", "A.8.20 A.8.21 A.8.22 A.8.23 A.8.27",
      "1.2.1 1.2.5 1.2.6 1.2.8 1.3.1 1.3.2 1.4.1 1.4.2 1.4.3 1.4.4 11.4.5",
      "164.312(e)(1) 164.312(a)(1)", "PR.IR-01 DE.CM-01 ID.AM-03",
      "AC-4 SC-7 SC-7(5) SC-7(21) SC-39 CA-9 SI-4",
      "Networks: Network Segmentation; Networks: Network Traffic Management; Networks: "
      "Network Resilience"},
     {GATE_DEFAULT_DENY},
     1},
};
