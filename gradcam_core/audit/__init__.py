"""The audit log: who analysed, viewed and exported what, as lines of JSON that are chained by their hashes.

It has no name of a picture or a person's file: a picture is its sha256, a model its fingerprint. Each entry contains
the hash of the one before it, so that a changed, removed, inserted or moved entry shows. A small file beside the log
counts the entries, so that the removal of the newest ones shows as well.

What a chain cannot show: someone who may write to the folder can write the whole log again, with new hashes and a new
count. Only a hash that was noted elsewhere shows that.
"""

from gradcam_core.audit.appending import append_audit as append_audit
from gradcam_core.audit.appending import audit_folder as audit_folder
from gradcam_core.audit.chain import AuditFault as AuditFault
from gradcam_core.audit.chain import AuditReading as AuditReading
from gradcam_core.audit.checking import audit_lines as audit_lines
from gradcam_core.audit.checking import read_audit as read_audit
from gradcam_core.audit.entries import AUDIT_EVENTS as AUDIT_EVENTS
from gradcam_core.audit.entries import AuditAnswer as AuditAnswer
from gradcam_core.audit.entries import AuditEntry as AuditEntry
from gradcam_core.audit.entries import audit_to_csv as audit_to_csv
from gradcam_core.audit.subjects import audited_checks as audited_checks
from gradcam_core.audit.subjects import audited_explanation as audited_explanation
from gradcam_core.audit.subjects import audited_model as audited_model
from gradcam_core.audit.subjects import audited_predictions as audited_predictions
