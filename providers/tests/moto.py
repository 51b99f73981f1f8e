"""Fills moto, the imitation of EC2, and prints its work as JSON: `moto.py fleet|users|servers ENDPOINT [ADDR]…`."""

import json
import sys
import urllib.request

import boto3

IMAGE = "ami-12c6146b"  # an image that moto has from the start


def client(service, endpoint):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )


def fleet(endpoint):
    """Makes instances, one a reservation, since the pages of moto have a number of reservations."""
    ec2 = client("ec2", endpoint)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
    block = vpc["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]

    def subnet(cidr, **more):
        return ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock=cidr, **more)["Subnet"]["SubnetId"]

    private = subnet("10.0.0.0/22")
    public = subnet("10.0.4.0/24")
    ec2.modify_subnet_attribute(SubnetId=public, MapPublicIpOnLaunch={"Value": True})
    v6 = subnet("10.0.5.0/24", Ipv6CidrBlock=block.split("::")[0] + "::/64")

    def run(count, tags, **where):
        specification = {"ResourceType": "instance", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}
        made = []
        for _ in range(count):
            answer = ec2.run_instances(
                ImageId=IMAGE, MinCount=1, MaxCount=1, TagSpecifications=[specification], **where
            )
            made.append(answer["Instances"][0]["InstanceId"])
        return made

    server = {"chronik": "server"}
    run(255, server, SubnetId=private)
    run(10, server, SubnetId=public)
    run(2, {**server, "env": "prod", "Owner Name": "a=b"}, SubnetId=private)
    run(3, {**server, "env": "prod", "Owner Name": "c"}, SubnetId=private)
    ec2.stop_instances(InstanceIds=run(4, server, SubnetId=private))
    ec2.terminate_instances(InstanceIds=run(3, server, SubnetId=private))
    run(5, {"chronik": "Server"}, SubnetId=private)
    for _ in range(3):
        # Ipv6AddressCount of an instance is ignored by moto, that of an interface is not.
        interface = ec2.create_network_interface(SubnetId=v6, Ipv6AddressCount=2)["NetworkInterface"]
        interface = {"DeviceIndex": 0, "NetworkInterfaceId": interface["NetworkInterfaceId"]}
        run(1, {"chronik": "v6"}, NetworkInterfaces=[interface])

    instances = []
    for page in ec2.get_paginator("describe_instances").paginate():
        for instance in (i for r in page["Reservations"] for i in r["Instances"]):
            instances.append(
                {
                    "tags": {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])},
                    "state": instance["State"]["Name"],
                    "private_v4": instance.get("PrivateIpAddress"),
                    "public_v4": instance.get("PublicIpAddress"),
                    "v6": [a["Ipv6Address"] for n in instance["NetworkInterfaces"] for a in n["Ipv6Addresses"]],
                }
            )
    filters = [
        {"Name": "tag:chronik", "Values": ["server"]},
        {"Name": "instance-state-name", "Values": ["running"]},
    ]
    single = ec2.describe_instances(Filters=filters)["Reservations"]
    return {"instances": instances, "single_call": sum(len(r["Instances"]) for r in single)}


def servers(endpoint, *addrs):
    """Makes instances with the server's tag at these private addresses, which lie in one /16."""
    ec2 = client("ec2", endpoint)
    block = ".".join(addrs[0].split(".")[:2]) + ".0.0/16"
    subnets = ec2.describe_subnets(Filters=[{"Name": "cidr-block", "Values": [block]}])["Subnets"]
    if not subnets:
        vpc = ec2.create_vpc(CidrBlock=block)["Vpc"]["VpcId"]
        subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=block)["Subnet"]]
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "chronik", "Value": "server"}]}]
    where = {"SubnetId": subnets[0]["SubnetId"], "TagSpecifications": tags}
    return [
        ec2.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, PrivateIpAddress=addr, **where)["Instances"][0][
            "PrivateIpAddress"
        ]
        for addr in addrs
    ]


def users(endpoint):
    """Makes two users, one of which may list instances; from then on moto checks signatures and permissions."""
    iam = client("iam", endpoint)
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "ec2:DescribeInstances", "Resource": "*"}],
    }
    keys = {}
    for name in ["reader", "nobody"]:
        iam.create_user(UserName=name)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        keys[name] = {"id": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
    iam.put_user_policy(UserName="reader", PolicyName="p", PolicyDocument=json.dumps(policy))
    client("ec2", endpoint).run_instances(
        ImageId=IMAGE,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "chronik", "Value": "server"}]}],
    )
    # The body must not be a form, since moto swallows those.
    request = urllib.request.Request(
        endpoint + "/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}
    )
    urllib.request.urlopen(request, timeout=10).read()
    return keys


if __name__ == "__main__":
    print(json.dumps({"fleet": fleet, "users": users, "servers": servers}[sys.argv[1]](*sys.argv[2:])))
