"""Make the two instance profiles that cluster.yaml names, once an AWS account.

    python clusters/aws_profiles.py BUCKET

Machines with sldd-head may start and end others, those with sldd-worker may not; both read and write BUCKET, which is
where studies go (and must exist). Again, with another bucket, replaces the policies.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any

import boto3

TRUST = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}


def statements(bucket: str, worker_role: str) -> dict[str, list[dict[str, Any]]]:
    """What each profile's machines may do."""
    studies = [
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"},
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
            "Resource": f"arn:aws:s3:::{bucket}/*",
        },
    ]
    machines = [
        {"Effect": "Allow", "Action": "ec2:*", "Resource": "*"},
        {"Effect": "Allow", "Action": "iam:PassRole", "Resource": worker_role},
        # The first spot request of an account makes this role.
        {
            "Effect": "Allow",
            "Action": "iam:CreateServiceLinkedRole",
            "Resource": "*",
            "Condition": {"StringEquals": {"iam:AWSServiceName": "spot.amazonaws.com"}},
        },
        # The newest image, by its public name.
        {"Effect": "Allow", "Action": "ssm:GetParameters", "Resource": "arn:aws:ssm:*::parameter/aws/service/*"},
    ]
    return {"sldd-head": studies + machines, "sldd-worker": studies}


def main(bucket: str) -> None:
    """Make or update both profiles."""
    iam = boto3.client("iam")
    account = boto3.client("sts").get_caller_identity()["Account"]
    for name, allowed in statements(bucket, f"arn:aws:iam::{account}:role/sldd-worker").items():
        with suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=_document([TRUST]))
        iam.put_role_policy(RoleName=name, PolicyName="study", PolicyDocument=_document(allowed))
        with suppress(iam.exceptions.EntityAlreadyExistsException):
            iam.create_instance_profile(InstanceProfileName=name)
        with suppress(iam.exceptions.LimitExceededException):  # it has one, and can have no other
            iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        print(f"{name}: ready")


def _document(allowed: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": allowed})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
